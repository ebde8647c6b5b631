package import Kernels

/// What the backward pass of a layer needs from the forward pass; the rest is computed again.
package struct LayerActivations: Sendable {
  /// The residual stream at the layer's input, `[tokens, hidden]`.
  package let input: Matrix
  /// Queries and keys after turning, and values.
  package let queriesKeysValues: Matrix
  /// What the heads give, `[tokens, heads · headSize]`.
  package let attended: Matrix
  /// The residual stream between attention and feed-forward, `[tokens, hidden]`.
  package let middle: Matrix
  /// The outputs of gate and up, side by side.
  package let gateAndUp: Matrix
}

extension Transformer {
  /// The embeddings of tokens, `[tokens, hidden]`.
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
      var row = values._mutatingExtracting(i * width..<(i + 1) * width)
      embedding.unpack(rows: id..<id + 1, columns: 0..<width, into: &row)
    }
    return hidden
  }

  /// Runs one layer on the residual stream.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - hidden: `[tokens, hidden]`; becomes the layer's output.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: What the backward pass needs.
  @discardableResult
  package func forward(
    _ layer: DecoderLayer, _ hidden: inout Matrix, rotary: RotaryEmbedding
  ) -> LayerActivations {
    let input = hidden
    var qkv = layer.queriesKeysValues(normalized(hidden, weight: layer.inputNorm))
    turn(&qkv, rotary, inverse: false)
    let attended = attention.forward(qkv)
    add(layer.attentionOutput(attended), to: &hidden)
    let middle = hidden
    let gateAndUp = layer.gateAndUp(normalized(hidden, weight: layer.middleNorm))
    add(layer.down(gated(gateAndUp)), to: &hidden)
    return LayerActivations(
      input: input, queriesKeysValues: qkv, attended: attended, middle: middle, gateAndUp: gateAndUp)
  }

  /// The hidden state after the final norm, `[tokens, hidden]`.
  ///
  /// - Parameters:
  ///   - tokens: One window.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: `[tokens, hidden]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func finalHidden(_ tokens: [Int32], rotary: RotaryEmbedding) throws -> Matrix {
    var hidden = try embed(tokens)
    for layer in layers { forward(layer, &hidden, rotary: rotary) }
    return normalized(hidden, weight: finalNorm)
  }

  /// The rotary table for windows up to a length.
  package func rotaryEmbedding(positions: Int) -> RotaryEmbedding {
    RotaryEmbedding(configuration.rotary, headSize: configuration.headSize, positionCount: positions)
  }

  /// The logits of hidden states after the final norm.
  ///
  /// - Parameter hidden: `[tokens, hidden]`.
  /// - Returns: `[tokens, vocabulary]`.
  package func logits(_ hidden: Matrix) -> Matrix { head(hidden) }

  /// Divides each row by its root mean square and multiplies with the norm's weight.
  ///
  /// Source: RMSNorm, arXiv:1910.07467.
  package func normalized(_ x: Matrix, weight: [Float]) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    let epsilon = configuration.normEpsilon
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part._mutatingExtracting(i * x.columnCount..<(i + 1) * x.columnCount)
        _ = rmsNorm(
          x.values.span.extracting(x.row(row)), weight: weight.span, epsilon: epsilon, into: &target)
      }
    }
    return result
  }

  /// Turns queries and keys by their positions, or back.
  package func turn(_ qkv: inout Matrix, _ rotary: RotaryEmbedding, inverse: Bool) {
    precondition(rotary.cosines.count >= qkv.rowCount * rotary.half, "too few positions")
    let columnCount = qkv.columnCount
    let headSize = configuration.headSize
    let turned = (configuration.headCount + configuration.keyValueHeadCount) * headSize
    var values = qkv.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var heads = part._mutatingExtracting(i * columnCount..<i * columnCount + turned)
        let angles = row * rotary.half..<(row + 1) * rotary.half
        rotate(
          &heads, headSize: headSize, cosines: rotary.cosines.span.extracting(angles),
          sines: rotary.sines.span.extracting(angles), inverse: inverse)
      }
    }
  }

  /// The gated activation: `silu(gate) · up`.
  ///
  /// - Parameter gateAndUp: `[tokens, 2 · intermediate]`.
  /// - Returns: `[tokens, intermediate]`.
  package func gated(_ gateAndUp: Matrix) -> Matrix {
    let width = configuration.intermediateSize
    var result = Matrix.unspecified(rows: gateAndUp.rowCount, columns: width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        let both = gateAndUp.values.span.extracting(gateAndUp.row(row))
        var target = part._mutatingExtracting(i * width..<(i + 1) * width)
        siluMultiply(
          gate: both.extracting(0..<width), up: both.extracting(width..<2 * width), into: &target)
      }
    }
    return result
  }

  /// Adds what a part of a layer computes to the residual stream.
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
