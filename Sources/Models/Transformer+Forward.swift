import Checkpoints
package import Kernels

extension Transformer {
  /// Returns the embeddings of tokens, `[tokens, hidden]`.
  ///
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func embed(_ tokens: [Int32]) throws -> Matrix {
    var hidden = Matrix(rows: tokens.count, columns: configuration.hiddenSize)
    let width = configuration.hiddenSize
    var values = hidden.values.mutableSpan
    for (i, token) in tokens.enumerated() {
      let id = Int(token)
      guard (0..<configuration.vocabularySize).contains(id) else {
        throw ModelError.tokenOutOfRange(id: id, vocabularySize: configuration.vocabularySize)
      }
      var row = values.slice(i * width..<(i + 1) * width)
      embedding.unpack(rows: id..<id + 1, columns: 0..<width, into: &row)
    }
    return hidden
  }

  /// Computes the hidden state after the final norm, `[tokens, hidden]`.
  ///
  /// - Parameters:
  ///   - tokens: One window.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: `[tokens, hidden]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func finalHidden(_ tokens: [Int32], rotary: RotaryEmbedding) throws -> Matrix {
    var hidden = try embed(tokens)
    var environment = WindowEnvironment(attention: attention, rotary: rotary)
    for layer in layers { run(layer, &hidden, in: &environment) }
    return normalized(hidden, weight: finalNorm)
  }

  /// Creates the rotary table for windows up to a length.
  package func rotaryEmbedding(positions: Int) -> RotaryEmbedding {
    RotaryEmbedding(configuration.rotary, headSize: configuration.headSize, positionCount: positions)
  }

  /// Computes the logits of hidden states after the final norm.
  ///
  /// - Parameter hidden: `[tokens, hidden]`.
  /// - Returns: `[tokens, vocabulary]`.
  package func logits(_ hidden: Matrix) -> Matrix { head(hidden) }

  /// Divides each row by its root mean square and multiplies by the norm's weight.
  ///
  /// Source: RMSNorm, arXiv:1910.07467.
  package func normalized(_ x: Matrix, weight: [Float]) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    let epsilon = configuration.normEpsilon
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part.slice(i * x.columnCount..<(i + 1) * x.columnCount)
        _ = rmsNorm(
          x.values.span.extracting(x.row(row)), weight: weight.span, epsilon: epsilon, into: &target)
      }
    }
    return result
  }

  /// Computes the gated activation: `silu(gate) · up`.
  ///
  /// - Parameter gateAndUp: `[tokens, 2 · intermediate]`.
  /// - Returns: `[tokens, intermediate]`.
  package func gated(_ gateAndUp: Matrix) -> Matrix {
    let width = gateAndUp.columnCount / 2
    var result = Matrix.unspecified(rows: gateAndUp.rowCount, columns: width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        let both = gateAndUp.values.span.extracting(gateAndUp.row(row))
        var target = part.slice(i * width..<(i + 1) * width)
        siluMultiply(
          gate: both.extracting(0..<width), up: both.extracting(width..<2 * width), into: &target)
      }
    }
    return result
  }

  /// Adds the output of a layer's part to the residual stream.
  func add(_ update: Matrix, to hidden: inout Matrix) {
    let columnCount = hidden.columnCount
    var values = hidden.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 64) { rows, part in
      addScaled(
        update.values.span.extracting(rows.lowerBound * columnCount..<rows.upperBound * columnCount),
        scale: 1,
        to: &part)
    }
  }
}
