package import Checkpoints
package import Kernels

/// A convolution over the last tokens between two gates: `c · convolution(b · x)`.
package struct ShortConvolution: Recurrence {
  private let convolution: CausalConvolution
  private var width: Int { convolution.channelCount }

  /// Takes the weights of a layer.
  package init(_ description: ShortConvolutionDescription, of layer: Transformer.DecoderLayer) {
    convolution = CausalConvolution(
      taps: layer[vector: description.convolution], tapCount: description.tapCount,
      bias: layer[vector: description.bias])
  }

  package var outputWidth: Int { width }

  package func forward(_ x: Matrix, state: inout [Float]) -> Matrix {
    if state.isEmpty { state = [Float](repeating: 0, count: convolution.historyCount) }
    let convolved = convolution.forward(product(x, 0, x, 2), history: &state)
    return product(x, 1, convolved, 0)
  }

  package func backward(_ x: Matrix, gradient: Matrix) -> Matrix {
    var history = [Float](repeating: 0, count: convolution.historyCount)
    let convolved = convolution.forward(product(x, 0, x, 2), history: &history)
    let inner = convolution.backward(product(gradient, 0, x, 1))
    let parts = [product(inner, 0, x, 2), product(gradient, 0, convolved, 0), product(inner, 0, x, 0)]
    var result = Matrix.unspecified(rows: x.rowCount, columns: 3 * width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: 3 * width, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        for (place, source) in parts.enumerated() {
          let from = source.values.span.extracting(source.row(row))
          for j in 0..<width { part[(3 * i + place) * width + j] = from[j] }
        }
      }
    }
    return result
  }

  /// Multiplies the elements of two blocks of columns, each as wide as the result.
  private func product(_ x: Matrix, _ block: Int, _ y: Matrix, _ other: Int) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let (a, b) = (row * x.columnCount + block * width, row * y.columnCount + other * width)
        let first = x.values.span.extracting(a..<a + width)
        let second = y.values.span.extracting(b..<b + width)
        for j in 0..<width { part[i * width + j] = first[j] * second[j] }
      }
    }
    return result
  }
}
