package import Checkpoints
import Models

/// The description of a checkpoint, from headers and small files alone.
package struct CheckpointSummary: Sendable {
  /// Modules with the same packing.
  package struct PackingCount: Sendable, Equatable {
    /// The layout of codes and tables.
    package let layout: QuantizedLayout
    /// The type in the file, if it has another layout.
    package let storedType: String?
    /// The number of modules.
    package private(set) var moduleCount = 0
    /// The number of weights in the modules.
    package private(set) var weightCount = 0
    /// The size of their codes and tables in the file, in bytes.
    package private(set) var byteCount = 0

    /// The sort key: fewer bits come first, then smaller groups.
    fileprivate var rank: (Int, Int, String) { (layout.bits, layout.groupSize, storedType ?? "") }

    fileprivate mutating func add(_ tensor: LogicalTensor) {
      moduleCount += 1
      weightCount += tensor.shape[0] * tensor.shape[1]
      byteCount += tensor.byteCount
    }
  }

  /// The checkpoint.
  package let checkpoint: Checkpoint
  /// The tensors as the model sees them.
  package let tensors: [LogicalTensor]
  /// The files on disk with their sizes, sorted by name.
  package let files: [(name: String, byteCount: Int)]
  /// The summary of the configuration.
  package let architecture: ArchitectureSummary?
  /// The summary of the tokenizer.
  package let tokenizer: TokenizerSummary?
  /// The packed modules, by number of bits and group size.
  package let packings: [PackingCount]
  /// The number of modules with an adapter.
  package let adaptedModuleCount: Int
  /// The sizes of the checkpoint.
  package let sizes: CheckpointSizes

  /// Summarizes a checkpoint.
  ///
  /// - Throws: `FormatError` when configuration or quantization are malformed.
  package init(_ checkpoint: Checkpoint) throws {
    self.checkpoint = checkpoint
    tensors = try checkpoint.logicalTensors()
    files = try checkpoint.files.map { file in
      (file.name, try FileSystem.requireRegularFile(file.path))
    }
    architecture = try ArchitectureSummary(of: checkpoint)
    tokenizer = TokenizerSummary(of: checkpoint)
    packings = Self.packings(tensors)
    adaptedModuleCount =
      checkpoint.contents.adapter == nil
      ? 0 : checkpoint.contents.tensors.count { ModuleTensor.part(of: $0.name) == .loraA }
    sizes = checkpoint.storedSizes
  }

  private static func packings(_ tensors: [LogicalTensor]) -> [PackingCount] {
    var counts: [PackingKind: PackingCount] = [:]
    for tensor in tensors {
      guard let layout = tensor.packing?.layout else { continue }
      counts[
        PackingKind(layout: layout, storedType: tensor.storedType),
        default: PackingCount(layout: layout, storedType: tensor.storedType)
      ].add(tensor)
    }
    return counts.values.sorted { $0.rank < $1.rank }
  }

  /// The properties by which packed modules are counted.
  private struct PackingKind: Hashable {
    let layout: QuantizedLayout
    let storedType: String?
  }

  /// The total size of all files in bytes.
  package var fileByteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

  /// Rows of a name and a text for the report; names from files are not escaped here.
  package var rows: [(name: String, text: String)] {
    let contents = checkpoint.contents
    let bits = sizes.bitsPerWeight.formatted(decimals: 2)
    var rows = [
      (
        "format",
        "\(checkpoint.format.rawValue), \(counted(files.count, "file")), \(fileByteCount.formattedBytes)"
      )
    ]
    if let architecture { rows.append(("architecture", architecture.text)) }
    if let tokenizer { rows.append(("tokenizer", tokenizer.text)) }
    rows.append(("parameters", sizes.parameterCount.formattedCount))
    let perParameter = sizes.bitsPerParameter.formatted(decimals: 2)
    rows.append(
      (
        "tensors",
        "\(contents.tensors.count.formattedCount), \(sizes.byteCount.formattedBytes), \(perParameter) bits per parameter"
      ))
    for packing in packings {
      let layout = packing.layout.phrase
      rows.append(
        (
          "quantization",
          "\(layout)\(packing.storedType.map { ", stored as \($0)" } ?? ""): "
            + "\(counted(packing.moduleCount, "module")), \(packing.weightCount.formattedCount) weights, "
            + packing.byteCount.formattedBytes
        ))
    }
    if !packings.isEmpty { rows.append(("bits per weight", "\(bits), tables and adapters included")) }
    if let adapter = contents.adapter {
      rows.append(
        (
          "adapter",
          "\(adapter.kind.rawValue), rank \(adapter.rank), alpha \(adapter.alpha.formattedShort), "
            + counted(adaptedModuleCount, "module")
        ))
    }
    rows += contents.notices.map { ("notice", $0) }
    return rows + metadataRows
  }

  private var metadataRows: [(name: String, text: String)] {
    let history = HistorySummary(checkpoint.contents.metadata)
    var rows: [(name: String, text: String)] = []
    for step in history.steps {
      rows.append(("history", step.made))
      rows += step.from.map { ("", "from \($0)") }
    }
    return rows + history.others.map { ("metadata", "\($0.key): \(HistorySummary.shortened($0.value))") }
  }
}

/// Returns a count with its noun: `1 file`, `3 files`.
func counted(_ count: Int, _ noun: String) -> String {
  "\(count.formattedCount) \(noun)\(count == 1 ? "" : "s")"
}
