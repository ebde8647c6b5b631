package import Kernels

/// A convolution of each column with a few taps over the current and the last tokens.
package struct CausalConvolution: Sendable {
  /// The number of columns that it reads.
  package let channelCount: Int
  /// The number of tokens that it reads, the current one included.
  package let tapCount: Int
  /// `[taps, channels]`, the current token's tap last.
  private let taps: [Float]
  /// `[channels]`; empty without one.
  private let bias: [Float]

  /// Takes the tensors of a checkpoint.
  ///
  /// - Parameters:
  ///   - taps: `[channels, 1, taps]`.
  ///   - tapCount: The number of taps of a channel.
  ///   - bias: `[channels]`, or empty for none.
  package init(taps: [Float], tapCount: Int, bias: [Float] = []) {
    precondition(taps.count % tapCount == 0, "\(taps.count) values, \(tapCount) taps")
    channelCount = taps.count / tapCount
    precondition(bias.isEmpty || bias.count == channelCount, "\(bias.count) values, \(channelCount) channels")
    self.tapCount = tapCount
    self.taps = transposed(taps, rowCount: channelCount, columnCount: tapCount)
    self.bias = bias
  }

  /// The number of floats of the earlier tokens that it reads.
  package var historyCount: Int { (tapCount - 1) * channelCount }

  /// Computes the results of some tokens.
  ///
  /// - Parameters:
  ///   - x: `[tokens, channels]` or wider; further columns are ignored.
  ///   - history: The tokens before the first one, `[taps - 1, channels]`; becomes those before the next one.
  /// - Returns: `[tokens, channels]`.
  package func forward(_ x: Matrix, history: inout [Float]) -> Matrix {
    precondition(history.count == historyCount, "\(history.count) values, \(historyCount) are read")
    var result = Matrix.unspecified(rows: x.rowCount, columns: channelCount)
    let earlier = history
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: channelCount, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        var sum = part.slice(i * channelCount..<(i + 1) * channelCount)
        for j in sum.indices { sum[j] = bias.isEmpty ? 0 : bias[j] }
        for tap in 0..<tapCount {
          let token = row - (tapCount - 1) + tap
          let source =
            token < 0
            ? earlier.span.extracting(channels(ofRow: token + tapCount - 1))
            : x.values.span.extracting(token * x.columnCount..<token * x.columnCount + channelCount)
          addProduct(taps.span.extracting(channels(ofRow: tap)), source, to: &sum)
        }
      }
    }
    for kept in 0..<tapCount - 1 {
      let token = x.rowCount - (tapCount - 1) + kept
      let source =
        token < 0
        ? earlier[channels(ofRow: token + tapCount - 1)]
        : x.values[token * x.columnCount..<token * x.columnCount + channelCount]
      history.replaceSubrange(channels(ofRow: kept), with: source)
    }
    return result
  }

  /// Computes the gradient of a whole window from that of its results, both `[tokens, channels]`.
  package func backward(_ gradient: Matrix) -> Matrix {
    var result = Matrix(rows: gradient.rowCount, columns: channelCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: channelCount, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        var sum = part.slice(i * channelCount..<(i + 1) * channelCount)
        for tap in 0..<tapCount where row + tapCount - 1 - tap < gradient.rowCount {
          let source = gradient.values.span.extracting(gradient.row(row + tapCount - 1 - tap))
          addProduct(taps.span.extracting(channels(ofRow: tap)), source, to: &sum)
        }
      }
    }
    return result
  }

  private func channels(ofRow row: Int) -> Range<Int> { row * channelCount..<(row + 1) * channelCount }

  /// Adds the products of the elements of two vectors.
  private func addProduct(_ x: Span<Float>, _ y: Span<Float>, to sum: inout MutableSpan<Float>) {
    for i in sum.indices {
      let product = x[i] * y[i]
      sum[i] += product
    }
  }
}
