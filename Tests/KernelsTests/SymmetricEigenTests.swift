import COpenBLAS
import Kernels
import Testing

@Suite struct SymmetricEigenTests {
  /// What is allowed of residuals and scalar products: some orders of a double's rounding times the order.
  private static let tolerance = 1e-11

  /// `Σ spectrum[i] · qᵢ · qᵢᵀ` with orthonormal q: the eigenvalues are the spectrum.
  private func matrix(_ spectrum: [Double], seed: UInt64) -> DoubleMatrix {
    let n = spectrum.count
    var vectors = DoubleMatrix(
      rows: n, columns: n, values: randomFloats(n * n, seed: seed).map(Double.init))
    for i in 0..<n {
      var row = Array(vectors.values[vectors.row(i)])
      var span = row.mutableSpan
      // Gram and Schmidt's way, twice for the sake of rounding.
      for j in [Array(0..<i), Array(0..<i)].joined() {
        let other = vectors.values.span.extracting(vectors.row(j))
        addScaled(other, scale: -dot(other, span.span), to: &span)
      }
      let length = dot(span.span, span.span).squareRoot()
      vectors.values.replaceSubrange(vectors.row(i), with: row.map { $0 / length })
    }
    var scaled = vectors
    for i in 0..<n * n { scaled.values[i] *= spectrum[i / n] }
    return scaled.times(vectors, .transposedLeft)
  }

  private func expectVectors(_ eigen: SymmetricEigen, _ count: Int, of matrix: DoubleMatrix) throws {
    let vectors = try eigen.vectors(count)
    let norm = max(abs(eigen.values[0]), abs(eigen.values[eigen.values.count - 1]), 1e-300)
    let images = vectors.times(matrix)
    var residual = 0.0
    for i in 0..<count {
      for j in vectors.row(i) {
        let difference = abs(images.values[j] - eigen.values[i] * vectors.values[j])
        residual = difference <= residual ? residual : difference
      }
    }
    #expect(residual <= Self.tolerance * norm)
    let products = vectors.times(vectors, .transposedRight)
    for i in 0..<count {
      for j in 0..<count {
        let difference = abs(products.values[i * count + j] - (i == j ? 1 : 0))
        if !(difference <= Self.tolerance) { Issue.record("vectors \(i) and \(j): \(difference)") }
      }
    }
  }

  enum Spectrum: CaseIterable {
    case falling, flat, equal, ofLowRank, ofBothSigns, inClusters, verySmall

    func values(_ order: Int) -> [Double] {
      (0..<order).map { i in
        let number = Double(i)
        switch self {
        case .falling: return 1 / (number + 1)
        case .flat: return 1 + 1e-9 * number
        case .equal: return 3
        case .ofLowRank: return i < 3 ? number + 1 : 0
        case .ofBothSigns: return i % 2 == 0 ? number + 1 : -number - 1
        case .inClusters: return Double(i / 10) + 1e-13 * number
        case .verySmall: return 1e-250 * (number + 1)
        }
      }
    }
  }

  @Test(arguments: Spectrum.allCases, [1, 2, 3, 17, 64, 257])
  func `finds the values and vectors of a spectrum`(kind: Spectrum, order: Int) throws {
    let spectrum = kind.values(order)
    let matrix = matrix(spectrum, seed: 5)
    let eigen = try SymmetricEigen(matrix)
    let norm = spectrum.reduce(1e-300) { max($0, abs($1)) }
    for (value, expected) in zip(eigen.values, spectrum.sorted(by: >)) {
      #expect(abs(value - expected) < Self.tolerance * norm)
    }
    try expectVectors(eigen, min(order, 40), of: matrix)
    try expectVectors(eigen, order, of: matrix)
  }

  @Test(arguments: [1, 2, 5, 40])
  func `takes matrices that are diagonal or tridiagonal already`(order: Int) throws {
    var matrix = DoubleMatrix(rows: order, columns: order)
    for i in 0..<order { matrix.values[i * order + i] = Double((i * 7) % 5) }
    try expectVectors(SymmetricEigen(matrix), order, of: matrix)
    for i in 0..<order - 1 where i != order / 2 {
      matrix.values[i * order + i + 1] = 1
      matrix.values[(i + 1) * order + i] = 1
    }
    try expectVectors(SymmetricEigen(matrix), order, of: matrix)
  }

  @Test func `a matrix of zeros has values of zero and orthonormal vectors`() throws {
    let matrix = DoubleMatrix(rows: 20, columns: 20)
    let eigen = try SymmetricEigen(matrix)
    #expect(eigen.values == [Double](repeating: 0, count: 20))
    try expectVectors(eigen, 20, of: matrix)
  }

  @Test(arguments: [Double.nan, .infinity])
  func `an element that is not finite has none`(value: Double) {
    var matrix = DoubleMatrix(rows: 3, columns: 3)
    matrix.values[4] = value
    #expect(throws: FactorizationError.notFinite) { _ = try SymmetricEigen(matrix) }
  }

  @Test func `the same bits on any number of threads, OpenBLAS's own too`() throws {
    let x = DoubleMatrix(rows: 600, columns: 600, values: randomFloats(600 * 600, seed: 9).map(Double.init))
    let matrix = x.times(x, .transposedRight)
    let results = try [1, 2, 5].map { count in
      openblas_set_num_threads(Int32(count))
      return try ThreadLimit.with(count) {
        let eigen = try SymmetricEigen(matrix)
        return (eigen.values + (try eigen.vectors(24)).values).map(\.bitPattern)
      }
    }
    // As one truth: a failure would otherwise list the differences of all elements, for minutes.
    let isSame = results.allSatisfy { $0 == results[0] }
    #expect(isSame)
  }
}
