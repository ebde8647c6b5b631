import Checkpoints
import Models

/// The factors of super-blocks during training.
///
/// The small integers were chosen with the codes and stay; `d` and `dmin` of each block are trained. Their
/// gradients are those of the scales and biases, times the integers, added over the groups of a block.
struct BlockFactorState {
  private var scales: TableState?
  private var biases: TableState?

  /// Starts a training; the parts of other tables than scales and biases are ignored.
  init(_ blocks: BlockTables, training parts: TrainedParts) {
    if parts.contains(.scale) {
      scales = TableState(start: blocks.scaleFactors, unit: blocks.scaleFactors)
    }
    if parts.contains(.bias), blocks.kind.zeroPoint == nil {
      biases = TableState(start: blocks.biasFactors, unit: blocks.biasUnits)
    }
  }

  var parameterCount: Int { (scales?.start.count ?? 0) + (biases?.start.count ?? 0) }

  /// Takes a step.
  ///
  /// - Parameters:
  ///   - blocks: The tables; their factors change.
  ///   - gradients: Those of the scale and the bias of each group, `[rows, groups]`; one that is not trained
  ///     may be empty.
  ///   - step: The step of the scales.
  ///   - biasStep: The step of the biases.
  mutating func update(
    _ blocks: inout BlockTables, _ gradients: (scales: [Float], biases: [Float]), _ step: AdamStep,
    _ biasStep: AdamStep
  ) {
    let count = blocks.kind.groupCount
    if scales != nil {
      let sums = Self.sums(gradients.scales, times: blocks.scaleSteps, groupCount: count)
      blocks.scaleFactors = scales?.updated(sums, step) ?? []
    }
    if biases != nil {
      let sums = Self.sums(gradients.biases, times: blocks.biasSteps, groupCount: count).map { -$0 }
      blocks.biasFactors = biases?.updated(sums, biasStep) ?? []
    }
  }

  private static func sums(_ gradients: [Float], times steps: [Float], groupCount: Int) -> [Float] {
    stride(from: 0, to: steps.count, by: groupCount).map { first in
      (first..<first + groupCount).reduce(0) { $0 + gradients[$1] * steps[$1] }
    }
  }

  /// Writes or reads the values that later steps depend on; reading also changes the factors.
  mutating func exchange(
    _ blocks: inout BlockTables, with archive: inout some StateArchive & ~Copyable
  ) throws {
    if let factors = try scales?.exchange(with: &archive) { blocks.scaleFactors = factors }
    if let factors = try biases?.exchange(with: &archive) { blocks.biasFactors = factors }
  }
}

extension BlockTables {
  /// The change of each block's dmin that moves the biases of its groups by about a scale.
  fileprivate var biasUnits: [Float] {
    scaleFactors.indices.map { block in
      let groups = block * kind.groupCount..<(block + 1) * kind.groupCount
      let scale = groups.reduce(0) { $0 + abs(scaleFactors[block] * scaleSteps[$1]) }
      let steps = groups.reduce(0) { $0 + biasSteps[$1] }
      return steps > 0 ? scale / steps : 0
    }
  }
}

extension BlockTables {
  /// Writes or reads the factors, which are all that is trained.
  mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&scaleFactors)
    try archive.exchange(&biasFactors)
  }
}
