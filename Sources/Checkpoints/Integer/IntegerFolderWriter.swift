internal import Kernels

/// Writes a checkpoint as a folder of GPTQ, AutoRound or compressed-tensors.
///
/// The tables are checked before anything is written. Values that the format cannot hold exactly are refused
/// unless a loss is allowed. `Formats/gptq.md` and `Formats/compressed-tensors.md` have the layouts.
package final class IntegerFolderWriter: MetadataLastWriter {
  /// The tensors of a module that have arrived so far.
  private struct Parts {
    var codes: [UInt8] = []
    var scales: [Float] = []
    var biases: [Float] = []
    var count = 0
  }

  private let plan: IntegerWritingPlan
  private let files: SafetensorsFolderWriter
  private var pending: [String: Parts] = [:]
  private var losses: [IntegerLoss] = []
  private let allowsLoss: Bool
  package var metadata: JSONValue {
    get { files.metadata }
    set { files.metadata = newValue }
  }

  /// Checks the tables and plans the files.
  ///
  /// - Parameters:
  ///   - contents: What will be written, in this order; the tensors are those of `source`.
  ///   - source: Holds the tables before they are written.
  ///   - folder: The folder to write into.
  ///   - format: The format.
  ///   - allowsLoss: Whether the nearest weights are written if the format cannot hold the original ones.
  ///   - shardByteLimit: The maximum of tensor bytes per file.
  /// - Throws: `FormatError.notExact` with the tensor and the reason; other `FormatError`s for contents that
  ///   the format cannot have at all.
  package init(
    _ contents: CheckpointContents, source: Checkpoint, folder: String, format: IntegerFormat,
    allowsLoss: Bool, shardByteLimit: Int = SafetensorsFolderWriter.defaultShardByteLimit
  ) throws {
    plan = try IntegerWritingPlan(contents, source, folder: folder, format, allowsLoss: allowsLoss)
    self.allowsLoss = allowsLoss
    files = try SafetensorsFolderWriter(plan.written, folder: folder, shardByteLimit: shardByteLimit)
  }

  package func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws {
    guard let (name, part) = ModuleTensor.split(tensor.name), let module = plan.modules[name],
      [.weight, .scales, .biases].contains(part)
    else { return try files.write(tensor, bytes) }
    var parts = pending[name] ?? Parts()
    switch part {
    case .weight: parts.codes = bytes.copiedBytes()
    case .scales: parts.scales = tensor.floats(bytes)
    default: parts.biases = tensor.floats(bytes)
    }
    parts.count += 1
    pending[name] = parts.count < 3 ? parts : nil
    if parts.count == 3 { try write(parts, as: module) }
  }

  /// Writes a complete module.
  private func write(_ parts: Parts, as module: IntegerWritingPlan.Module) throws {
    let tables = IntegerTables(
      scales: parts.scales, biases: parts.biases, bits: module.bits, format: plan.scaleFormat,
      least: plan.format.leastZeroPoint)
    if tables.firstLoss != nil {
      precondition(allowsLoss, "module '\(module.name)' has other tables than those looked at before")
      losses.append(
        TensorBytes(parts.codes).withSpan {
          IntegerLoss(
            of: module.name, bits: module.bits, codes: $0, scales: parts.scales, biases: parts.biases,
            tables: tables)
        })
    }
    for (tensor, bytes) in plan.encoded(module, codes: parts.codes, tables) {
      try TensorBytes(bytes).withSpan { try files.write(tensor, $0) }
    }
  }

  package func write(_ asset: Asset, _ bytes: RawSpan) throws {
    guard !IntegerFolder.configurationNames.contains(asset.name) else { return }
    if asset.name == SafetensorsFolder.configurationName {
      try write(SafetensorsFolder.configurationName, plan.configuration)
    } else {
      try files.write(asset, bytes)
    }
  }

  private func write(_ name: String, _ text: [UInt8]) throws {
    try TensorBytes(text).withSpan { try files.write(Asset(name: name, byteCount: text.count), $0) }
  }

  package func finish() throws -> Int {
    precondition(pending.isEmpty, "\(pending.count) modules are not whole")
    if let repeated = plan.repeatedConfiguration { try write(repeated.name, repeated.text) }
    return try files.finish()
  }

  /// The changes that the format made to the weights: an object.
  package var report: JSONValue {
    var members = [
      JSONValue.Member("format", .string(plan.format.rawValue)),
      JSONValue.Member("exact", .bool(losses.isEmpty)),
    ]
    if !losses.isEmpty { members.append(JSONValue.Member("losses", .array(losses.map(\.json)))) }
    return .object(members)
  }
}

extension TensorInfo {
  /// The values of a table.
  fileprivate func floats(_ bytes: RawSpan) -> [Float] {
    guard let format = FloatFormat(dtype) else { preconditionFailure("a table of \(dtype.rawValue)") }
    return widened(bytes, from: format)
  }
}
