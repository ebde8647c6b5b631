import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Errors from moments beside those of outputs that are computed.
@Suite struct OutputErrorTests {
  private static let (tokens, rows, columns) = (160, 70, 24)
  /// Moments are means of products of singles, and so are the forms; what cancels is no larger than the error.
  private static let tolerance = 1e-5

  private func matrix(_ name: String, rows: Int, columns: Int, size: Float = 1) -> Matrix {
    Matrix(rows: rows, columns: columns, values: noise(name, count: rows * columns, size: size))
  }

  private func weight(_ matrix: Matrix) -> Weight {
    Weight(
      rows: matrix.rowCount, columns: matrix.columnCount,
      values: .dense(TensorBytes(narrowed(matrix.values, to: .f32)), .f32))
  }

  private func sum(_ a: Matrix, _ b: Matrix) -> Matrix {
    Matrix(rows: a.rowCount, columns: a.columnCount, values: zip(a.values, b.values).map { $0 + $1 })
  }

  private func outputs(_ weight: Matrix, _ inputs: Matrix) -> [Float] {
    DoubleMatrix(inputs).times(DoubleMatrix(weight), .transposedRight).values.map { Float($0) }
  }

  private func moments(_ inputs: Matrix) -> SecondMoments {
    var moments = SecondMoments(order: inputs.columnCount)
    moments.add(inputs)
    return moments
  }

  @Test(arguments: [0, 0.001, 0.5])
  func `outputs on changed inputs are compared with the original ones on theirs`(size: Float) {
    let (original, inputs) = (
      matrix("w", rows: Self.rows, columns: Self.columns),
      matrix("xq", rows: Self.tokens, columns: Self.columns)
    )
    let quantized = sum(original, matrix("error", rows: Self.rows, columns: Self.columns, size: 0.01))
    let difference = matrix("d", rows: Self.tokens, columns: Self.columns, size: size)
    var cross = CrossMoments(rows: Self.columns, columns: Self.columns)
    cross.add(difference, 0..<Self.columns, inputs)
    let change = InputChange(crossMoments: cross.means, moments: DoubleMatrix(moments(difference)))
    var error = OutputError()
    error.add(
      of: weight(quantized), to: weight(original), means: moments(inputs).means.map { Float($0) }, change)
    let expected = relativeError(outputs(quantized, inputs), outputs(original, sum(inputs, difference)))
    #expect(abs(error.relative / expected - 1) < Self.tolerance, "\(error.relative), \(expected)")
  }

  @Test func `errors of several linears are those of all outputs together`() {
    let inputs = matrix("x", rows: Self.tokens, columns: Self.columns)
    let means = moments(inputs).means.map { Float($0) }
    var error = OutputError()
    var (found, expected): ([Float], [Float]) = ([], [])
    for (name, size) in [("a", Float(1)), ("b", 3)] {
      let original = matrix(name, rows: Self.rows, columns: Self.columns, size: size)
      let quantized = sum(original, matrix(name + "e", rows: Self.rows, columns: Self.columns, size: 0.1))
      error.add(of: weight(quantized), to: weight(original), means: means)
      found += outputs(quantized, inputs)
      expected += outputs(original, inputs)
    }
    #expect(abs(error.relative / relativeError(found, expected) - 1) < Self.tolerance)
  }
}
