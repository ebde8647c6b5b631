import Checkpoints
import Kernels

/// The importance `E[x²]` of every input feature of linears, read from a file.
///
/// `Formats/importance.md` specifies our file and llama.cpp's.
struct ImportanceFile {
  static let format = "rilq-importance"
  static let version = "1"
  static let ending = ".importance"

  /// The importance by module.
  let values: [String: [Float]]

  /// Reads a file of any of the formats and checks it against a checkpoint.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - modules: The modules whose importance the file must have.
  ///   - checkpoint: The checkpoint whose linears the names and numbers of input features must match.
  /// - Throws: `FormatError` with the tensor.
  init(contentsOf path: String, modules: [String], of checkpoint: Checkpoint) throws {
    if let matrix = try ImportanceMatrix(path: path) {
      values = try Self.values(of: matrix, modules: modules, of: checkpoint)
    } else {
      values = try Self.values(of: try SafetensorsFile(path: path), modules: modules, of: checkpoint)
    }
  }

  /// Reads our own format.
  private static func values(
    of file: SafetensorsFile, modules: [String], of checkpoint: Checkpoint
  ) throws -> [String: [Float]] {
    guard file.header.metadata["format"] == format else {
      throw FormatError(
        file.path, .unsupported("its format is not '\(format)', as importance written by rilq has"))
    }
    let version = file.header.metadata["version"] ?? ""
    guard version == Self.version else {
      throw FormatError(file.path, .unsupportedKind("version '\(version)'", supported: [Self.version]))
    }
    let columns = checkpoint.inputCounts
    var values: [String: [Float]] = [:]
    for entry in file.header.entries {
      let (module, vector) = try read(entry, in: file, columns)
      values[module] = vector
    }
    if let missing = modules.first(where: { values[$0] == nil }) {
      throw FormatError(file.path, .missing("tensor '\(missing)\(ending)'"))
    }
    return values
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

  /// Reads llama.cpp's format.
  private static func values(
    of matrix: ImportanceMatrix, modules: [String], of checkpoint: Checkpoint
  ) throws -> [String: [Float]] {
    let model = try GGUFMatrices(of: checkpoint)
    var values: [String: [Float]] = [:]
    for entry in matrix.entries where !matrix.isBeyond(entry.tensor, layerCount: model.layerCount) {
      let matrices = try fitting(entry, in: matrix, model)
      let means = try matrix.means(of: entry)
      for (index, place) in matrices.enumerated() {
        let start = index * place.columnCount
        values[place.module] = place.fromFile(means[start..<start + place.columnCount])
      }
    }
    if let missing = modules.first(where: { values[$0] == nil }) {
      let tensor = model.place(of: missing).map { "tensor '\($0.tensor)' for " } ?? ""
      throw FormatError(matrix.path, .missing("\(tensor)module '\(missing)'"))
    }
    return values
  }

  /// The matrices of the model that an entry has the sums of.
  private static func fitting(
    _ entry: ImportanceMatrix.Entry, in matrix: ImportanceMatrix, _ model: GGUFMatrices
  ) throws -> [GGUFMatrices.Matrix] {
    func failure(_ problem: FormatError.Problem) -> FormatError {
      FormatError(matrix.path, at: entry.place, problem)
    }
    let matrices = model.matrices(in: entry.tensor)
    guard let first = matrices.first else {
      throw failure(.malformed("names no matrix of the checkpoint's model"))
    }
    let count = matrices.count * first.columnCount
    guard entry.valueCount == count else {
      throw failure(.malformed("has \(entry.valueCount) values, expected \(count)"))
    }
    // The older form has one count for all experts.
    guard entry.counts.count == 1 || entry.counts.count == matrices.count else {
      throw failure(.malformed("has \(entry.counts.count) counts, expected \(matrices.count)"))
    }
    return matrices
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
