import Checkpoints
import Kernels
import Models

/// Rounds weights to the 2-bit normal float: one of four values times the largest magnitude of its group.
///
/// With `p` the quantiles of the standard normal distribution, the values are `-p(0.9677083)`, 0,
/// `p(0.73385415)` and `p(0.9677083)`, divided by the greatest of them: -1, 0, 0.3379152 and 1. They are not
/// evenly spaced, so no packed form with a scale and a bias can hold them. The rounded weights stay dense,
/// for comparisons with LoftQ's base.
///
/// Source: QLoRA, arXiv:2305.14314, appendix E; for 2 bits as in the code of LoftQ, arXiv:2310.08659.
package struct NormalFloat: Sendable {
  /// The values, ascending.
  package static let codebook: [Float] = [-1, 0, 0.33791519, 1]
  private static let boundaries: [Float] = zip(codebook, codebook.dropFirst()).map { ($0 + $1) / 2 }
  private let groupSize: Int

  /// - Parameter groupSize: The number of weights that share a magnitude.
  package init(groupSize: Int) { self.groupSize = groupSize }

  /// Rounds whole groups; a weight halfway between two values becomes the lower one.
  ///
  /// - Parameter weights: A whole number of groups.
  /// - Returns: The rounded weights.
  /// - Throws: `UnusableWeight` for a value that is not finite.
  package func rounded(_ weights: [Float]) throws(UnusableWeight) -> [Float] {
    if let index = weights.firstIndex(where: { !$0.isFinite }) { throw UnusableWeight(index: index) }
    var values = weights
    for start in stride(from: 0, to: weights.count, by: groupSize) {
      let magnitude = (start..<start + groupSize).reduce(0) { max($0, abs(weights[$1])) }
      guard magnitude > 0 else { continue }
      for i in start..<start + groupSize { values[i] = nearest(weights[i] / magnitude) * magnitude }
    }
    return values
  }

  private func nearest(_ value: Float) -> Float {
    var index = 0
    while index < Self.boundaries.count, value > Self.boundaries[index] { index += 1 }
    return Self.codebook[index]
  }
}

/// Makes dense weights, rounded to normal floats, in their own dtype.
struct NormalFloatRun: PassRun {
  /// The number of weights that share a magnitude, by module.
  let groupSizes: [String: Int]
  let input: Checkpoint
  let context: PassContext
  private var summary = QuantizationSummary()

  init(groupSizes: [String: Int], input: Checkpoint, context: PassContext) {
    self.groupSizes = groupSizes
    self.input = input
    self.context = context
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    let tensor = replacement.outputs[0]
    guard let groupSize = groupSizes[replacement.module], let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("module '\(replacement.module)' was not planned")
    }
    let bytes = try input.bytes(of: tensor.name)
    let weight = Weight(rows: tensor.shape[0], columns: tensor.shape[1], values: .dense(bytes, format))
    let parts = try rounded(weight, to: NormalFloat(groupSize: groupSize), as: format, name: tensor.name)
    summary.add(
      replacement.module, weights: tensor.elementCount, squaredError: parts.reduce(0) { $0 + $1.error },
      squaredNorm: parts.reduce(0) { $0 + $1.norm })
    context.progress(
      Progress(phase: "quantize", completed: summary.modules, total: groupSizes.count, detail: tensor.name))
    return [TensorBytes(parts.flatMap(\.bytes))]
  }

  mutating func finish() throws -> any PassReport {
    summary.isDense = true
    summary.unquantized = UnquantizedModule.all(in: input).filter { groupSizes[$0.name] == nil }
    return summary.report
  }

  /// Rounded rows as bytes, with their squared error and squared norm.
  private struct RoundedRows {
    let bytes: [UInt8]
    let error: Double
    let norm: Double
  }

  private func rounded(
    _ weight: Weight, to normalFloat: NormalFloat, as format: FloatFormat, name: String
  ) throws -> [RoundedRows] {
    let columns = weight.columnCount
    let ranges = stride(from: 0, to: weight.rowCount, by: 64).map { $0..<min($0 + 64, weight.rowCount) }
    return try parallelMap(ranges.count) { index in
      let rows = ranges[index]
      var weights = [Float](repeating: 0, count: rows.count * columns)
      var span = weights.mutableSpan
      weight.unpack(rows: rows, columns: 0..<columns, into: &span)
      do throws(UnusableWeight) {
        let bytes = narrowed(try normalFloat.rounded(weights), to: format)
        var difference = widened(bytes, from: format)
        var differenceSpan = difference.mutableSpan
        addScaled(weights.span, scale: -1, to: &differenceSpan)
        return RoundedRows(
          bytes: bytes, error: Double(sumOfSquares(difference.span)), norm: Double(sumOfSquares(weights.span))
        )
      } catch {
        throw PassError.notFinite(tensor: name, index: rows.lowerBound * columns + error.index)
      }
    }
  }
}
