import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Errors beside those of outputs that are computed in double precision.
@Suite struct OutputErrorTests {
  private static let (tokens, rows, columns) = (160, 70, 24)
  /// Outputs and moments are sums of products of singles; what cancels is no larger than the error.
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

  private func rows(_ range: Range<Int>, of matrix: Matrix) -> Matrix {
    let columns = matrix.columnCount
    return Matrix(
      rows: range.count, columns: columns,
      values: Array(matrix.values[range.lowerBound * columns..<range.upperBound * columns]))
  }

  @Test(arguments: [0, 0.001, 0.5])
  func `outputs on changed inputs are compared with the original ones on theirs`(size: Float) {
    let (original, inputs) = (
      matrix("w", rows: Self.rows, columns: Self.columns),
      matrix("xq", rows: Self.tokens, columns: Self.columns)
    )
    let quantized = sum(original, matrix("error", rows: Self.rows, columns: Self.columns, size: 0.01))
    let difference = matrix("d", rows: Self.tokens, columns: Self.columns, size: size)
    let half = Self.tokens / 2
    var error = OutputError()
    error.add(
      of: weight(quantized), to: weight(original),
      inputs: [0..<half, half..<Self.tokens].map { tokens in
        OutputError.Inputs(
          quantized: rows(tokens, of: inputs), original: rows(tokens, of: sum(inputs, difference)))
      })
    let expected = relativeError(outputs(quantized, inputs), outputs(original, sum(inputs, difference)))
    #expect(abs(error.relative / expected - 1) < Self.tolerance, "\(error.relative), \(expected)")
  }

  @Test func `errors of several linears are those of all outputs together`() {
    let inputs = matrix("x", rows: Self.tokens, columns: Self.columns)
    let moments = MomentMatrix(SecondMoments(of: inputs))
    var error = OutputError()
    var (found, expected): ([Float], [Float]) = ([], [])
    for (name, size) in [("a", Float(1)), ("b", 3)] {
      let original = matrix(name, rows: Self.rows, columns: Self.columns, size: size)
      let quantized = sum(original, matrix(name + "e", rows: Self.rows, columns: Self.columns, size: 0.1))
      error.add(of: weight(quantized), to: weight(original), moments: moments)
      found += outputs(quantized, inputs)
      expected += outputs(original, inputs)
    }
    #expect(abs(error.relative / relativeError(found, expected) - 1) < Self.tolerance)
  }
}
