/// An adapter in a folder of PEFT: `adapter_config.json` and `adapter_model.safetensors`.
///
/// A pooled adapter is PEFT's QA-LoRA, which multiplies the mean of a group by the number of groups L; so the
/// alpha in the file is ours divided by L.
public struct PeftAdapter: Sendable {
  static let configurationName = "adapter_config.json"
  static let tensorsName = "adapter_model.safetensors"

  /// What the tensors mean.
  public let parameters: AdapterParameters
  /// The columns a mean is taken over, when the adapter is pooled.
  public let groupSize: Int?
  /// The tensors, named `m.lora_A.weight` and `m.lora_B.weight` by module, in the order of the file.
  public let tensors: [TensorInfo]
  let file: SafetensorsFile
  private let store: SafetensorsStore

  /// Opens an adapter folder; only headers are read.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - access: Whether its tensors are mapped or read.
  /// - Returns: The description, and the way to the bytes.
  /// - Throws: `FormatError` when it is malformed, or means something that is not handled.
  public static func open(_ folder: String, access: FileAccess = .mapped) throws -> PeftAdapter {
    let names = try FileSystem.names(in: folder)
    guard names.contains(configurationName) else {
      throw FormatError(folder, .missing("'\(configurationName)' of the adapter"))
    }
    guard names.contains(tensorsName) else { throw FormatError(folder, absence(names)) }
    let configuration = try PeftConfiguration(path: FileSystem.pathInside(folder, configurationName))
    let path = try FileSystem.pathInside(folder, tensorsName)
    return try PeftAdapter(configuration, SafetensorsFile(path: path, access: access), access)
  }

  private init(_ configuration: PeftConfiguration, _ file: SafetensorsFile, _ access: FileAccess) throws {
    var store = SafetensorsStore(path: file.path, access: access)
    for entry in file.header.entries { try Self.checkName(entry.tensor.name, file.path) }
    try store.add(file, rename: Self.checkpointName)
    self.file = file
    self.store = store
    tensors = store.tensors
    groupSize = configuration.groupSize
    let groupCounts = try Self.checkPairs(tensors, configuration, file.path)
    parameters = AdapterParameters(
      kind: configuration.groupSize == nil ? .dense : .pooled, rank: configuration.rank,
      alpha: try configuration.alpha(groupCounts))
  }

  /// The bytes of one of the tensors.
  ///
  /// - Throws: `FormatError` when there is no such tensor.
  public func bytes(of tensor: TensorInfo) throws -> TensorBytes { try store.bytes(of: tensor) }

  /// Checks that a pooled adapter and the modules it belongs to have the same groups.
  func checkGroups(_ quantization: [String: QuantizationParameters]) throws(FormatError) {
    guard let groupSize else { return }
    for tensor in tensors {
      guard let module = ModuleTensor.loraA.module(of: tensor.name), let parameters = quantization[module],
        parameters.groupSize != groupSize
      else { continue }
      throw FormatError(
        file.path, at: "tensor '\(tensor.name)'",
        .malformed("pools groups of \(groupSize) columns, the module's groups are of \(parameters.groupSize)")
      )
    }
  }

  private static func absence(_ names: [String]) -> FormatError.Problem {
    names.contains("adapter_model.bin")
      ? .unsupported("'adapter_model.bin' is a pickle, which can run code; '\(tensorsName)' is needed")
      : .missing("'\(tensorsName)' of the adapter")
  }
}

extension PeftAdapter {
  /// What PEFT puts before the name of a module.
  private static let prefix = "base_model.model."

  /// The name in a PEFT file of a tensor of a checkpoint.
  static func fileName(_ checkpointName: String) -> String { prefix + checkpointName }

  /// The name in a checkpoint of a tensor of a PEFT file.
  static func checkpointName(_ fileName: String) -> String { String(fileName.dropFirst(prefix.count)) }

  private static func checkName(_ name: String, _ path: String) throws(FormatError) {
    guard name.hasPrefix(prefix),
      ModuleTensor.loraA.module(of: checkpointName(name)) != nil
        || ModuleTensor.loraB.module(of: checkpointName(name)) != nil
    else {
      throw FormatError(
        path, at: "tensor '\(name)'", .unsupported("not a lora_A or lora_B weight under '\(prefix)'"))
    }
  }

  /// Checks that both matrices of every module are there and have the rank of the configuration.
  ///
  /// - Returns: The columns of A, by module.
  private static func checkPairs(
    _ tensors: [TensorInfo], _ configuration: PeftConfiguration, _ path: String
  ) throws(FormatError) -> [String: Int] {
    let shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    guard !shapes.isEmpty else { throw FormatError(path, .missing("the tensors of the adapter")) }
    var columnCounts: [String: Int] = [:]
    for tensor in tensors {
      let isA = ModuleTensor.loraA.module(of: tensor.name)
      guard let module = isA ?? ModuleTensor.loraB.module(of: tensor.name) else { continue }
      let other = (isA == nil ? ModuleTensor.loraA : .loraB).name(of: module)
      guard shapes[other] != nil else {
        throw FormatError(
          path, at: "tensor '\(fileName(tensor.name))'", .missing("its pair '\(fileName(other))'"))
      }
      let rankAxis = isA == nil ? 1 : 0
      guard tensor.shape.count == 2, tensor.shape[rankAxis] == configuration.rank else {
        throw FormatError(
          path, at: "tensor '\(fileName(tensor.name))'",
          .malformed("shape \(tensor.shape) has not the rank \(configuration.rank) of \(configurationName)"))
      }
      if isA != nil { columnCounts[module] = tensor.shape[1] }
    }
    return columnCounts
  }
}
