package import Kernels

extension Transformer {
  /// Computes how far a layer's output is from an expected one, and adds the gradients of the layer.
  ///
  /// The loss of a token is the squared difference divided by the square of the expected value, because later
  /// norms see it that way. A few tokens with huge activations therefore count no more than the others.
  ///
  /// - Parameters:
  ///   - layer: The layer, of this model's shape.
  ///   - input: The window before it; keys and values that the layer borrows are held fixed.
  ///   - expected: The expected stream after it, `[tokens, hidden]`.
  ///   - gradientScale: The factor of the gradients of the sum over tokens; nil computes no gradients.
  ///   - gradients: Added to.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The mean loss over tokens.
  /// - Source: Block-AP of EfficientQAT, arXiv:2407.11062, section 3.2, which uses the plain mean square.
  package func addLayerGradients(
    of layer: DecoderLayer, input: WindowStream, expected: Matrix, gradientScale: Float?,
    to gradients: inout LayerGradients, rotary: RotaryTables
  ) -> Double {
    var output = input
    let activations = forward(layer, &output, rotary: rotary)
    let (loss, difference) = relativeDifference(output.hidden, expected, scale: 2 * (gradientScale ?? 0))
    guard gradientScale != nil else { return loss }
    var gradient = StreamGradient(hidden: difference)
    backward(layer, activations, gradient: &gradient, gradients: &gradients, rotary: rotary)
    return loss
  }

  /// Returns the mean over rows of `|output - expected|² / |expected|²`, and its gradient `scale · (output -
  /// expected) / |expected|²`.
  private func relativeDifference(
    _ output: Matrix, _ expected: Matrix, scale: Float
  ) -> (loss: Double, difference: Matrix) {
    var difference = output
    var values = difference.values.mutableSpan
    var total = 0.0
    for row in 0..<output.rowCount {
      let target = expected.values.span.extracting(expected.row(row))
      var part = values.slice(output.row(row))
      addScaled(target, scale: -1, to: &part)
      let norm = max(sumOfSquares(target), .leastNormalMagnitude)
      total += Double(sumOfSquares(part.span) / norm)
      for i in part.indices { part[i] *= scale / norm }
    }
    return (total / Double(output.rowCount), difference)
  }
}
