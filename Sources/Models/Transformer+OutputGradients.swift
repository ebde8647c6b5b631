package import Checkpoints
package import Kernels

extension Transformer {
  /// Runs a window from one layer to its loss and back, and lends the inputs and output gradients of the
  /// layer's linears.
  ///
  /// Only the inputs of later layers are kept; each later layer is computed again on the way back.
  ///
  /// - Parameters:
  ///   - tokens: One window, at least two tokens.
  ///   - stream: The window before the layer; keys and values that it has from earlier layers are held fixed.
  ///   - index: The layer.
  ///   - rotary: At least as many positions as there are tokens.
  ///   - lend: Receives each group, its input `[tokens, in]` and the gradient of its outputs `[tokens, out]`.
  /// - Returns: The loss: the sum of the cross entropies of all tokens except the first, in nats.
  @discardableResult
  package func outputGradients(
    of tokens: [Int32], stream: WindowStream, layer index: Int, rotary: RotaryTables,
    _ lend: (LinearGroupKind, Matrix, Matrix) -> Void
  ) -> Double {
    var stream = stream
    var inputs: [WindowStream] = []
    for layer in layers[index...] {
      inputs.append(stream)
      run(layer, &stream, rotary: rotary)
    }
    let (loss, end) = lossGradient(of: tokens, stream.hidden)
    var gradient = StreamGradient(hidden: end)
    for position in (index..<layers.count).reversed() {
      var state = inputs.removeLast()
      let saved = forward(layers[position], &state, rotary: rotary)
      var unused = LayerGradients(for: layers[position], training: [])
      if position > index {
        backward(layers[position], saved, gradient: &gradient, gradients: &unused, rotary: rotary)
      } else {
        backward(
          layers[position], saved, gradient: &gradient, gradients: &unused, rotary: rotary, lending: lend)
      }
    }
    return loss
  }

  /// Computes the loss from the residual stream after the last layer, and its gradient.
  private func lossGradient(of tokens: [Int32], _ hidden: Matrix) -> (loss: Double, gradient: Matrix) {
    let scoredCount = tokens.count - 1
    precondition(scoredCount > 0, "a window needs at least two tokens")
    let final = finalNorm(hidden)
    var dFinal = Matrix(rows: hidden.rowCount, columns: hidden.columnCount)
    var loss = 0.0
    for block in logitBlocks(of: 0..<scoredCount) {
      let input = final.rows(block)
      var logits = logits(input)
      let kept = logitsNeededByGradient(logits)
      let width = logits.columnCount
      var span = logits.values.mutableSpan
      for i in 0..<block.count {
        var row = span.slice(i * width..<(i + 1) * width)
        loss += crossEntropyRow(
          logits: &row, target: Int(tokens[block.lowerBound + i + 1]), gradientScale: 1)
      }
      let dInput = hiddenGradient(input, ofLogits: logits, kept)
      dFinal.values.replaceSubrange(
        block.lowerBound * hidden.columnCount..<block.upperBound * hidden.columnCount, with: dInput.values)
    }
    var gradient = Matrix(rows: hidden.rowCount, columns: hidden.columnCount)
    finalNorm.addGradient(hidden, dFinal, to: &gradient)
    return (loss, gradient)
  }
}
