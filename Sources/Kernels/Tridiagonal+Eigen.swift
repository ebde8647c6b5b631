import Foundation

/// Finds the eigenvalues of a symmetric tridiagonal matrix.
///
/// Source: the implicit QL method, Dubrulle, Martin and Wilkinson, 1968, as EISPACK's `imtql1`; the bound is
/// that of LAPACK's `dsteqr`.
///
/// - Parameters:
///   - diagonal: `[order]`, far from overflow.
///   - offDiagonal: `[order]`; element `i` couples `i` and `i + 1`, and the last one is zero.
/// - Returns: The values, largest first; nil when they are not found in 30 steps per value, as happens with
///   NaN. About 2 steps per value are usual.
package func tridiagonalEigenvalues(_ diagonal: [Double], _ offDiagonal: [Double]) -> [Double]? {
  var (d, e) = (diagonal, offDiagonal)
  var stepsLeft = 30 * d.count
  for first in d.indices {
    while true {
      let last = blockEnd(d, e, from: first)
      guard last > first else { break }
      guard stepsLeft > 0 else { return nil }
      stepsLeft -= 1
      sweep(&d, &e, first..<last)
    }
  }
  return d.allSatisfy(\.isFinite) ? d.sorted(by: >) : nil
}

/// The last element of the block that begins at `first`; nothing couples it to the next element.
private func blockEnd(_ d: [Double], _ e: [Double], from first: Int) -> Int {
  var last = first
  while last + 1 < d.count {
    // Values far below the rounding of the largest element, which is about 1, count as zero.
    if abs(e[last]) <= 0x1p-53 * (abs(d[last]) + abs(d[last + 1])) + 1e-30 { break }
    last += 1
  }
  return last
}

/// One step with a shift towards the eigenvalue of a block's first corner.
private func sweep(_ d: inout [Double], _ e: inout [Double], _ block: Range<Int>) {
  let (first, last) = (block.lowerBound, block.upperBound)
  let ratio = (d[first + 1] - d[first]) / (2 * e[first])
  let root = hypot(ratio, 1)
  var g = d[last] - d[first] + e[first] / (ratio + (ratio < 0 ? -root : root))
  var (sine, cosine, p) = (1.0, 1.0, 0.0)
  for i in block.reversed() {
    let (f, b) = (sine * e[i], cosine * e[i])
    let length = hypot(f, g)
    e[i + 1] = length
    guard length > 0 else {
      d[i + 1] -= p
      e[last] = 0
      return
    }
    (sine, cosine) = (f / length, g / length)
    g = d[i + 1] - p
    let r = (d[i] - g) * sine + 2 * cosine * b
    p = sine * r
    d[i + 1] = g + p
    g = cosine * r - b
  }
  d[first] -= p
  e[first] = g
  e[last] = 0
}

extension Tridiagonal {
  /// The eigenvalues, largest first; nil when they are not found in a bounded number of steps.
  var eigenvalues: [Double]? { tridiagonalEigenvalues(diagonal, offDiagonal) }

  /// The eigenvectors of the leading eigenvalues, one per row, `[count, order]`.
  ///
  /// Uses inverse iteration from seeded vectors. Each vector is kept orthogonal to earlier vectors with
  /// nearby eigenvalues.
  ///
  /// Source: LAPACK's `dstein`; Jessup and Ipsen, "Improving the accuracy of inverse iteration", 1992.
  func eigenvectors(of values: ArraySlice<Double>) -> DoubleMatrix {
    let largest = (0..<order).reduce(0) { max($0, abs(diagonal[$1]) + abs(offDiagonal[$1])) }
    let norm = largest > 0 ? largest : 1
    // Vectors of eigenvalues further apart are orthogonal to 1e-13 without help.
    let nearness = 1e-3 * norm
    var vectors = DoubleMatrix(rows: values.count, columns: order)
    var generator = InverseIterationStart()
    var shift = Double.infinity
    var cluster = 0
    for (k, value) in values.enumerated() {
      // Equal shifts would lead to equal vectors.
      shift = min(value, shift - 10 * norm * 0x1p-52)
      while values[values.startIndex + cluster] - value > nearness { cluster += 1 }
      let factors = ShiftedFactors(self, shift: shift, tiny: norm * 0x1p-52)
      var x = generator.next(order)
      for step in 0..<Self.inverseIterations {
        factors.solve(&x)
        guard Self.orthogonalize(&x, to: vectors, cluster..<k) || step + 1 == Self.inverseIterations else {
          x = generator.next(order)
          continue
        }
      }
      vectors.values.replaceSubrange(vectors.row(k), with: x)
    }
    return vectors
  }

  private static let inverseIterations = 4

  /// Subtracts the components along other vectors and normalizes the rest.
  ///
  /// - Returns: Whether a rest was left.
  private static func orthogonalize(
    _ x: inout [Double], to vectors: DoubleMatrix, _ others: Range<Int>
  ) -> Bool {
    normalize(&x)
    var rest = 1.0
    // Twice is enough: the second time removes what rounding left of the first.
    for _ in 0..<2 {
      var span = x.mutableSpan
      for other in others {
        let row = vectors.values.span.extracting(vectors.row(other))
        addScaled(row, scale: -dot(row, span.span), to: &span)
      }
      rest *= normalize(&x)
    }
    return rest > 1e-8
  }

  /// Normalizes a vector and returns its old length.
  @discardableResult
  private static func normalize(_ x: inout [Double]) -> Double {
    let largest = x.reduce(0) { max($0, abs($1)) }
    guard largest > 0 else { return 0 }
    for i in x.indices { x[i] /= largest }
    let length = dot(x.span, x.span).squareRoot()
    for i in x.indices { x[i] /= length }
    return length * largest
  }
}

/// `T - shift · I` as a product of permutations, a lower and an upper triangular matrix.
private struct ShiftedFactors {
  /// The three diagonals of the upper matrix, the main one first.
  private var upper: ([Double], [Double], [Double])
  /// The factor of each elimination, and whether two rows were exchanged before it.
  private var lower: [(factor: Double, isExchanged: Bool)] = []

  init(_ matrix: Tridiagonal, shift: Double, tiny: Double) {
    let n = matrix.order
    let e = matrix.offDiagonal
    var (first, second, third) = (matrix.diagonal.map { $0 - shift }, e, [Double](repeating: 0, count: n))
    lower.reserveCapacity(n)
    for i in 0..<max(n - 1, 0) {
      let isExchanged = abs(e[i]) > abs(first[i])
      if isExchanged {
        let factor = first[i] / e[i]
        first[i] = e[i]
        (second[i], first[i + 1]) = (first[i + 1], second[i] - factor * first[i + 1])
        (third[i], second[i + 1]) = (second[i + 1], -factor * second[i + 1])
        lower.append((factor, true))
      } else {
        if abs(first[i]) < tiny { first[i] = first[i] < 0 ? -tiny : tiny }
        let factor = e[i] / first[i]
        first[i + 1] -= factor * second[i]
        lower.append((factor, false))
      }
    }
    if abs(first[n - 1]) < tiny { first[n - 1] = first[n - 1] < 0 ? -tiny : tiny }
    upper = (first, second, third)
  }

  func solve(_ x: inout [Double]) {
    let n = x.count
    for i in 0..<max(n - 1, 0) {
      if lower[i].isExchanged { x.swapAt(i, i + 1) }
      x[i + 1] -= lower[i].factor * x[i]
    }
    for i in (0..<n).reversed() {
      var value = x[i]
      if i + 1 < n { value -= upper.1[i] * x[i + 1] }
      if i + 2 < n { value -= upper.2[i] * x[i + 2] }
      x[i] = value / upper.0[i]
    }
  }
}

/// Starting vectors for inverse iteration, the same in every run.
private struct InverseIterationStart {
  private var state: UInt64 = 1

  mutating func next(_ count: Int) -> [Double] {
    (0..<count).map { _ in
      // Knuth's multiplicative congruential generator; only its upper bits are used.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Int64(bitPattern: state) >> 11) * 0x1p-52
    }
  }
}
