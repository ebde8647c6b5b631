package import Checkpoints
package import Models

/// The output of `rilq inspect`.
package struct Inspection: Sendable {
  /// The options of an inspection.
  package struct Options: Sendable {
    /// The tensors to list; empty lists all of them.
    package var patterns: [ModulePattern]
    /// Whether to read the values of tensors.
    package var readsValues: Bool

    /// Creates options.
    package init(patterns: [ModulePattern] = [], readsValues: Bool = false) {
      self.patterns = patterns
      self.readsValues = readsValues
    }
  }

  /// The statistics of a tensor's values.
  struct Values: Sendable {
    let statistics: TensorStatistics
    /// The statistics of codes; nil for a dense tensor.
    let codes: CodeStatistics?
  }

  let summary: CheckpointSummary
  let options: Options
  /// The requested tensors, in the order of the file.
  let tensors: [LogicalTensor]
  /// The statistics of each tensor; empty unless values were read.
  let values: [Values]

  private static let suggestionLimit = 10_000

  /// Inspects a checkpoint.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - options: The tensors to list, and whether to read values.
  ///   - progress: Called after each tensor while values are read.
  /// - Throws: `PassError` when a pattern has no match, `FormatError` when a file is malformed.
  package init(
    _ checkpoint: Checkpoint, _ options: Options = Options(), progress: ProgressHandler = { _ in }
  ) throws {
    let summary = try CheckpointSummary(checkpoint)
    tensors = try Self.tensors(of: summary, options.patterns)
    var values: [Values] = []
    for tensor in options.readsValues ? tensors : [] {
      values.append(
        Values(
          statistics: try TensorStatistics(tensor, in: checkpoint),
          codes: try CodeStatistics(tensor, in: checkpoint)))
      progress(Progress(phase: "read", completed: values.count, total: tensors.count, detail: tensor.name))
    }
    self.summary = summary
    self.options = options
    self.values = values
  }

  /// Returns the requested tensors; codes appear as packed weights, and their tables also on their own.
  private static func tensors(
    of summary: CheckpointSummary, _ patterns: [ModulePattern]
  ) throws -> [LogicalTensor] {
    if patterns.isEmpty, summary.packings.isEmpty { return summary.tensors }
    let packed = Dictionary(
      summary.tensors.lazy.filter { $0.packing != nil }.map { ($0.name, $0) },
      uniquingKeysWith: { first, _ in first })
    return try selected(summary.checkpoint.contents.tensors, patterns)
      .map { packed[$0.name] ?? LogicalTensor($0) }
  }

  /// Returns the tensors whose own name or module's name matches a pattern.
  private static func selected(_ tensors: [TensorInfo], _ patterns: [ModulePattern]) throws -> [TensorInfo] {
    guard !patterns.isEmpty else { return tensors }
    var isSelected = [Bool](repeating: false, count: tensors.count)
    for pattern in patterns {
      let matches = try pattern.matcher()
      var count = 0
      for (i, tensor) in tensors.enumerated()
      where matches(tensor.name) || ModuleTensor.split(tensor.name).map({ matches($0.module) }) == true {
        isSelected[i] = true
        count += 1
      }
      guard count > 0 else {
        let known = tensors.prefix(suggestionLimit)
        let modules = known.compactMap { ModuleTensor.split($0.name)?.module }
        let nearest = pattern.nearest(among: modules + known.map(\.name))
        throw PassError.usage(
          "pattern '\(pattern)' matches no tensor" + (nearest.map { ", the nearest is '\($0)'" } ?? ""))
      }
    }
    return zip(tensors, isSelected).filter(\.1).map(\.0)
  }
}
