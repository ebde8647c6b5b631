import Checkpoints
import Kernels

/// The importance `E[x²]` of every input feature of linears, as stored in a file.
///
/// `Formats/importance.md` specifies the file.
struct ImportanceFile {
  private static let format = "rilq-importance"
  private static let version = "1"
  private static let ending = ".importance"
  private static let stagedName = "importance"

  /// The importance by module.
  let values: [String: [Float]]
  private let order: [String]
  private let metadata: [(key: String, value: String)]

  /// Takes the importance measured on windows.
  ///
  /// - Throws: `FormatError` when a text can no longer be read.
  init(_ importance: [(name: String, values: [Float])], of windows: [[Int32]], _ source: WindowSource) throws
  {
    values = Dictionary(
      importance.map { ($0.name, $0.values) }, uniquingKeysWith: { first, _ in first })
    order = importance.map(\.name)
    let digests = try source.texts.map { try Digest256(ofFile: $0).description }
    metadata = [
      ("version", Self.version), ("tokens", "\(windows.reduce(0) { $0 + $1.count })"),
      ("windows", "\(windows.count)"), ("sampled", "\(source.sampled)"), ("seed", "\(source.seed)"),
      ("text_sha256", digests.joined(separator: " ")),
    ]
  }

  /// Writes the file and publishes it under its name.
  ///
  /// - Parameter workspace: The workspace of the file.
  /// - Throws: `FormatError`.
  func publish(in workspace: OutputWorkspace) throws {
    try SafetensorsFile.write(
      workspace.path(Self.stagedName),
      vectors: order.compactMap { name in values[name].map { (name + Self.ending, $0) } },
      format: Self.format, metadata: metadata)
    try workspace.publish(Self.stagedName)
  }

  /// Reads a file and checks it against a checkpoint.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - modules: The modules whose importance the file must have.
  ///   - checkpoint: The checkpoint whose linears the names and numbers of input features must match.
  /// - Throws: `FormatError` with the tensor.
  init(contentsOf path: String, modules: [String], of checkpoint: Checkpoint) throws {
    let file = try SafetensorsFile(path: path)
    guard file.header.metadata["format"] == Self.format else {
      throw FormatError(
        path, .unsupported("its format is not '\(Self.format)', as importance written by rilq has"))
    }
    let version = file.header.metadata["version"] ?? ""
    guard version == Self.version else {
      throw FormatError(path, .unsupportedKind("version '\(version)'", supported: [Self.version]))
    }
    let columns = checkpoint.inputCounts
    var values: [String: [Float]] = [:]
    for entry in file.header.entries {
      let (module, vector) = try Self.read(entry, in: file, columns)
      values[module] = vector
    }
    if let missing = modules.first(where: { values[$0] == nil }) {
      throw FormatError(path, .missing("tensor '\(missing)\(Self.ending)'"))
    }
    self.values = values
    order = values.keys.sorted()
    metadata = []
  }

  private static func read(
    _ entry: SafetensorsHeader.Entry, in file: SafetensorsFile, _ columns: [String: Int]
  ) throws -> (module: String, values: [Float]) {
    let tensor = entry.tensor
    func failure(_ problem: FormatError.Problem) -> FormatError {
      FormatError(file.path, at: "tensor '\(tensor.name)'", problem)
    }
    let module = String(tensor.name.dropLast(ending.count))
    guard tensor.name.hasSuffix(ending), let count = columns[module] else {
      throw failure(.malformed("names no linear of the checkpoint"))
    }
    guard tensor.dtype == .f32 else {
      throw failure(.unsupportedKind("dtype \(tensor.dtype.rawValue)", supported: ["F32"]))
    }
    guard tensor.shape == [count] else { throw failure(.shape(expected: [count], found: tensor.shape)) }
    let values = try file.bytes(of: entry).withSpan { widened($0, from: .f32) }
    if let index = values.firstIndex(where: { !$0.isFinite || $0 < 0 }) {
      throw failure(.malformed("value \(index) is \(values[index]), expected a number of at least 0"))
    }
    return (module, values)
  }
}

extension Checkpoint {
  /// The number of input features of every linear, packed or not.
  fileprivate var inputCounts: [String: Int] {
    var counts: [String: Int] = [:]
    for module in ModuleDescription.names(of: contents) {
      guard let shape = tensor(named: ModuleTensor.weight.name(of: module))?.shape else { continue }
      counts[module] =
        contents.quantization[module].map { $0.columnCount(wordCount: shape[1]) ?? 0 } ?? shape[1]
    }
    return counts
  }
}
