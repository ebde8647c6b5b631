package import Checkpoints
package import Models

/// The differences between two checkpoints: names, shapes, storage and values of tensors, files and metadata.
///
/// Packed weights are dequantized for the comparison, so any format can be compared with any other.
package struct CheckpointDifference: Sendable {
  /// The names that only one of the checkpoints has.
  package struct Missing: Sendable, Equatable {
    /// The names in the first checkpoint only, sorted.
    package var inFirst: [String] = []
    /// The names in the second checkpoint only, sorted.
    package var inSecond: [String] = []

    /// Whether both have the same names.
    package var isEmpty: Bool { inFirst.isEmpty && inSecond.isEmpty }

    init(_ first: some Sequence<String>, _ second: some Sequence<String>) {
      let (first, second) = (Set(first), Set(second))
      inFirst = first.subtracting(second).sorted(by: precedes)
      inSecond = second.subtracting(first).sorted(by: precedes)
    }
  }

  /// A tensor that both checkpoints have.
  package struct Pair: Sendable {
    /// The tensor of the first checkpoint.
    package let first: LogicalTensor
    /// The tensor of the second checkpoint.
    package let second: LogicalTensor
    /// The difference of their values; nil when their shapes differ.
    package let values: TensorDifference?

    /// Whether shapes are equal and values are within a tolerance.
    package func isWithin(_ tolerance: Double) -> Bool { values?.isWithin(tolerance) ?? false }
  }

  /// The paths of both checkpoints.
  package let paths: (first: String, second: String)
  /// The largest accepted relative error; 0 requires equal values.
  package let tolerance: Double
  /// The tensors that only one checkpoint has.
  package let tensors: Missing
  /// The tensors that both checkpoints have, sorted by name.
  package let pairs: [Pair]
  /// The files that only one checkpoint has.
  package let assets: Missing
  /// The files that differ in their contents, sorted.
  package let differingAssets: [String]
  /// The metadata keys that differ, sorted.
  package let differingMetadata: [String]

  /// Whether both have every tensor, with equal shapes and values within the tolerance.
  package var isWithinTolerance: Bool { tensors.isEmpty && pairs.allSatisfy { $0.isWithin(tolerance) } }

  /// Whether all files are the same.
  package var hasSameFiles: Bool { assets.isEmpty && differingAssets.isEmpty }

  /// Compares two checkpoints, tensor after tensor.
  ///
  /// - Parameters:
  ///   - first: The checkpoint that errors are relative to.
  ///   - second: The other checkpoint.
  ///   - tolerance: The largest accepted relative error; 0 requires equal values.
  ///   - progress: Called after each tensor.
  /// - Throws: `FormatError` when a checkpoint is damaged.
  package init(
    _ first: Checkpoint, _ second: Checkpoint, tolerance: Double = 0, progress: ProgressHandler = { _ in }
  ) throws {
    let ours = try first.logicalTensors()
    let theirs = try second.logicalTensors()
    let theirsByName = Dictionary(theirs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let common = ours.filter { theirsByName[$0.name] != nil }.sorted { precedes($0.name, $1.name) }
    var pairs: [Pair] = []
    for tensor in common {
      guard let other = theirsByName[tensor.name] else { continue }
      pairs.append(try Self.pair(tensor, of: first, other, of: second))
      progress(Progress(phase: "compare", completed: pairs.count, total: common.count, detail: tensor.name))
    }
    paths = (first.path, second.path)
    self.tolerance = tolerance
    self.pairs = pairs
    tensors = Missing(ours.lazy.map(\.name), theirs.lazy.map(\.name))
    assets = Missing(first.contents.assets.lazy.map(\.name), second.contents.assets.lazy.map(\.name))
    differingAssets = try Self.differingAssets(first, second)
    differingMetadata = Self.differingKeys(first.contents.metadata, second.contents.metadata)
  }

  private static func pair(
    _ tensor: LogicalTensor, of first: Checkpoint, _ other: LogicalTensor, of second: Checkpoint
  ) throws -> Pair {
    // Real and complex values cannot be compared, whatever their shapes.
    let isComparable =
      tensor.shape == other.shape && (tensor.stored.dtype == .c64) == (other.stored.dtype == .c64)
    let values =
      isComparable
      ? TensorDifference(try TensorValues(tensor, in: first), try TensorValues(other, in: second)) : nil
    return Pair(first: tensor, second: other, values: values)
  }

  private static func differingAssets(_ first: Checkpoint, _ second: Checkpoint) throws -> [String] {
    let names = Set(second.contents.assets.map(\.name))
    return try first.contents.assets.map(\.name).filter(names.contains).filter { name in
      guard let ours = try first.asset(named: name), let theirs = try second.asset(named: name) else {
        return true
      }
      if ours.withSpan({ a in theirs.withSpan { b in a.isEqual(to: b) } }) { return false }
      return name != "config.json" || !isSameConfiguration(ours, theirs)
    }.sorted(by: precedes)
  }

  /// Whether configurations are equal except for the form of their quantization entries.
  private static func isSameConfiguration(_ first: TensorBytes, _ second: TensorBytes) -> Bool {
    let documents = [first, second].map { bytes in
      try? bytes.withSpan { text throws(JSONError) in try JSONValue(parsing: text).withoutQuantization }
    }
    return documents[0] != nil && documents[0] == documents[1]
  }

  private static func differingKeys(_ first: JSONValue, _ second: JSONValue) -> [String] {
    let keys = Set(((first.object ?? []) + (second.object ?? [])).map(\.key))
    return keys.filter { first[$0] != second[$0] }.sorted(by: precedes)
  }
}
