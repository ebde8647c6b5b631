import Checkpoints
import Kernels
import Models

/// The codes of a packed weight during training.
///
/// Every code has a position on the grid, in units of the step; the code is the rounded position. The
/// gradient ignores the rounding. Positions are kept in the range that rounds to a code.
///
/// A code changes by a whole step. Adam moves all positions alike, so that it turns over the few codes whose step costs
/// most as easily as others. Positions with large gradients therefore move less: by the inverse of the second moment in
/// place of its root, as by a natural gradient.
///
/// Source: the straight-through estimator, arXiv:1308.3432; trained weights on a grid as in EfficientQAT,
/// arXiv:2407.11062; natural gradients by the diagonal of the Fisher information, arXiv:1412.1193. That the root stays
/// where gradients are small is ours.
struct CodeState {
  /// The fraction of the distance from a code's middle to its weight; below 1, so that noise alone changes no
  /// code.
  private static let pull: Float = 0.9
  /// The maximum distance of a position beyond the outer codes; below 0.5, so that it still rounds to them.
  private static let reach: Float = 0.499
  /// The part of the positions of all linears of a step, those with the smallest gradients, that moves as in Adam.
  static let freePart = 0.3
  /// `[rows, columns]`.
  private var positions: [Float]
  private var moments: AdamMoments
  private let top: Float

  /// Starts at the codes themselves, or between the codes and the original weights.
  ///
  /// - Parameters:
  ///   - packed: The codes.
  ///   - weights: The weights before quantization; each moves its position within its code. Nil leaves
  ///     positions in the middle.
  init(_ packed: PackedWeight, near weights: Weight? = nil) {
    let codes = packed.codeValues
    positions = codes.map { Float($0) }
    moments = AdamMoments(count: codes.count)
    top = Float(1 << packed.bits - 1)
    guard let weights = weights.map({ $0.floats(rows: 0..<$0.rowCount) }) else { return }
    for group in packed.scales.indices where packed.scales[group] != 0 {
      let (scale, bias) = (packed.scales[group], packed.biases[group])
      for i in group * packed.groupSize..<(group + 1) * packed.groupSize {
        let away = (weights[i] - bias) / scale - positions[i]
        positions[i] += Self.pull * min(max(away, -Self.reach), Self.reach)
      }
    }
  }

  var count: Int { positions.count }

  /// Updates the positions and returns the new codes.
  ///
  /// - Parameters:
  ///   - gradient: The gradient of the weight, `[rows, columns]`.
  ///   - packed: The weight of the gradient.
  ///   - step: The step.
  ///   - limit: The root of a second moment above which a position moves less.
  /// - Returns: Packed codes.
  mutating func updated(
    _ gradient: [Float], of packed: PackedWeight, _ step: AdamStep, limit: Double
  ) -> TensorBytes {
    var inUnits = gradient
    var values = inUnits.mutableSpan
    let (scales, groupSize) = (packed.scales.span, packed.groupSize)
    for group in scales.indices {
      let scale = scales[group]
      for i in group * groupSize..<(group + 1) * groupSize { values[i] *= scale }
    }
    moments.take(step, inUnits, to: &positions, limit: limit)
    let highest = top + Self.reach
    var span = positions.mutableSpan
    for i in span.indices { span[i] = min(max(span[i], -Self.reach), highest) }
    return packedCodes(bits: packed.bits)
  }

  /// Returns the second moments of some positions after a step, without those that have no gradient.
  ///
  /// - Parameters:
  ///   - gradient: The gradient of the weight, `[rows, columns]`.
  ///   - packed: The weight of the gradient.
  ///   - step: The step.
  /// - Returns: Those of all positions if there are few.
  func secondMoments(after gradient: [Float], of packed: PackedWeight, _ step: AdamStep) -> [Float] {
    // A prime, so that all columns are among them.
    let distance = gradient.count < 65_536 ? 1 : 61
    return stride(from: 0, to: gradient.count, by: distance).compactMap { i in
      let inUnits = gradient[i] * packed.scales[i / packed.groupSize]
      let moment = moments.secondMoment(i, after: inUnits, step)
      return moment > 0 ? moment : nil
    }
  }

  /// Writes or reads the values that later steps depend on.
  ///
  /// - Returns: Packed codes.
  mutating func exchange(
    bits: Int, with archive: inout some StateArchive & ~Copyable
  ) throws -> TensorBytes {
    try archive.exchange(&positions)
    try moments.exchange(with: &archive)
    return packedCodes(bits: bits)
  }

  private func packedCodes(bits: Int) -> TensorBytes {
    var codes = [UInt8](repeating: 0, count: positions.count)
    var target = codes.mutableSpan
    // All of them as one group whose step is 1. NaN becomes 0; the loss reports it.
    let (scales, biases): ([Float], [Float]) = ([1], [0])
    roundToGrid(
      positions.span, bits: bits, groupSize: positions.count, columnCount: positions.count,
      scales: scales.span, biases: biases.span, codes: &target)
    var bytes = [UInt8](repeating: 0, count: codes.count * bits / 8)
    var packed = bytes.mutableSpan
    packCodes(codes.span, bits: bits, into: &packed)
    return TensorBytes(bytes)
  }
}
