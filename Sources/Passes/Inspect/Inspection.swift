package import Checkpoints
package import Models

/// What `rilq inspect` shows of a checkpoint.
package struct Inspection: Sendable {
  /// What is looked at.
  package struct Options: Sendable {
    /// Which tensors are listed; empty for all of them.
    package var patterns: [ModulePattern]
    /// Whether values are read.
    package var readsValues: Bool

    /// Chooses options.
    package init(patterns: [ModulePattern] = [], readsValues: Bool = false) {
      self.patterns = patterns
      self.readsValues = readsValues
    }
  }

  /// A tensor of the file, and what its values are like if they were read.
  struct Item: Sendable {
    let tensor: LogicalTensor
    var statistics: TensorStatistics?
    var codes: CodeStatistics?
  }

  let summary: CheckpointSummary
  let options: Options
  /// The tensors that were asked for, in the order of the file.
  let items: [Item]

  private static let suggestionLimit = 10_000

  /// Looks at a checkpoint.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - options: What is looked at.
  ///   - progress: Told about tensors while values are read.
  /// - Throws: `PassError` when a pattern has no match, `FormatError` when something is malformed.
  package init(
    _ checkpoint: Checkpoint, _ options: Options = Options(), progress: ProgressHandler = { _ in }
  ) throws {
    let summary = try CheckpointSummary(checkpoint)
    let packed = Dictionary(
      summary.tensors.lazy.filter { $0.packing != nil }.map { ($0.name, $0) },
      uniquingKeysWith: { first, _ in first })
    let chosen = try Self.selected(checkpoint.contents.tensors, options.patterns)
    var items = chosen.map { Item(tensor: packed[$0.name] ?? LogicalTensor($0)) }
    if options.readsValues {
      for i in items.indices {
        let tensor = items[i].tensor
        items[i].statistics = try TensorStatistics(tensor, in: checkpoint)
        items[i].codes = try CodeStatistics(tensor, in: checkpoint)
        progress(Progress(phase: "read", completed: i + 1, total: items.count, detail: tensor.name))
      }
    }
    self.summary = summary
    self.options = options
    self.items = items
  }

  /// The tensors that a pattern matches by their own name or by their module's.
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
        let nearest = pattern.nearest(among: tensors.prefix(suggestionLimit).map(\.name))
        throw PassError.usage(
          "pattern '\(pattern)' matches no tensor" + (nearest.map { ", the nearest is '\($0)'" } ?? ""))
      }
    }
    return zip(tensors, isSelected).filter(\.1).map(\.0)
  }
}
