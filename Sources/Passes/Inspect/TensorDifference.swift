import Checkpoints
import Kernels

/// The difference between the values of two tensors of the same shape.
package struct TensorDifference: Sendable, Equatable {
  /// The number of values.
  package private(set) var count = 0
  /// The number of differing values; zeros of different sign differ, two NaNs do not.
  package private(set) var differingCount = 0
  /// The number of differing values with a NaN or an infinity; errors do not include them.
  package private(set) var incomparableCount = 0
  /// The largest absolute difference.
  package private(set) var maxError = 0.0
  private var sum = 0.0
  private var squares = (error: 0.0, first: 0.0, second: 0.0)
  private var product = 0.0

  /// The mean absolute difference.
  package var meanError: Double { sum / Double(max(count, 1)) }

  /// The Frobenius norm of the difference divided by that of the first tensor; infinite when only the first
  /// is zero.
  package var relativeError: Double {
    squares.error == 0 ? 0 : (squares.error / squares.first).squareRoot()
  }

  /// The cosine of the angle between the tensors; 1 when both are zero.
  package var cosine: Double {
    let norms = squares.first.squareRoot() * squares.second.squareRoot()
    return norms > 0 ? product / norms : squares.first == squares.second ? 1 : 0
  }

  /// Whether the relative error is within a tolerance; at 0 all values must be equal.
  package func isWithin(_ tolerance: Double) -> Bool {
    tolerance == 0 ? differingCount == 0 : incomparableCount == 0 && relativeError <= tolerance
  }

  /// Creates the result for equal values.
  init(identicalCount: Int = 0) {
    count = identicalCount
  }

  /// Compares values one by one.
  init(_ first: Span<Double>, _ second: Span<Double>) {
    precondition(first.count == second.count, "\(first.count) values against \(second.count)")
    count = first.count
    for i in first.indices {
      let (a, b) = (first[i], second[i])
      if a.bitPattern != b.bitPattern, !(a.isNaN && b.isNaN) {
        differingCount += 1
        guard a.isFinite, b.isFinite else {
          incomparableCount += 1
          continue
        }
        let error = abs(a - b)
        maxError = max(maxError, error)
        sum += error
        squares.error += error * error
      }
      guard a.isFinite else { continue }
      squares.first += a * a
      squares.second += b * b
      product += a * b
    }
  }

  /// Adds the result for other values of the same tensors.
  mutating func merge(_ other: TensorDifference) {
    count += other.count
    differingCount += other.differingCount
    incomparableCount += other.incomparableCount
    maxError = max(maxError, other.maxError)
    sum += other.sum
    squares.error += other.squares.error
    squares.first += other.squares.first
    squares.second += other.squares.second
    product += other.product
  }

  /// Compares two tensors of the same shape, several blocks in parallel.
  init(_ first: TensorValues, _ second: TensorValues) {
    guard !first.isIdentical(to: second) else {
      self.init(identicalCount: first.count)
      return
    }
    self.init()
    let blocks = first.blocks(with: second)
    let parts = parallelMap(blocks.count) { i in
      TensorDifference(first.values(in: blocks[i]).span, second.values(in: blocks[i]).span)
    }
    for part in parts { merge(part) }
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.count == b.count && a.differingCount == b.differingCount && a.incomparableCount == b.incomparableCount
      && a.maxError == b.maxError && a.sum == b.sum && a.squares == b.squares && a.product == b.product
  }
}
