import Checkpoints
import Kernels

extension Transformer {
  /// The loss of one window.
  ///
  /// - Parameters:
  ///   - window: Its tokens and what the original makes of them.
  ///   - objective: Which parts there are.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6.
  package func rilqLoss(
    of window: TrainingWindow, _ objective: RilqObjective, rotary: RotaryEmbedding
  ) throws -> RilqLoss {
    let hidden = try finalHidden(window.tokens, rotary: rotary)
    var unused: Matrix?
    var loss = logitLosses(hidden, window, objective, gradientScale: 0, gradient: &unused)
    loss.modelLoss = meanSquaredDifference(hidden, window.teacher.span)
    return loss
  }

  /// The loss of one window, and its gradients added to those of the window's batch.
  ///
  /// - Parameters:
  ///   - window: Its tokens and what the original makes of them.
  ///   - objective: The parts and their factors.
  ///   - gradientScale: What the gradients are multiplied with, 1 over the windows of a batch.
  ///   - recomputesLayers: Whether each layer's forward pass is done again before its backward pass, instead of keeping what it
  ///     computed: less memory and a quarter more work, the same gradients bit for bit.
  ///   - gradients: One for each layer; added to.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6; recomputing: arXiv:1604.06174.
  package func addRilqGradients(
    of window: TrainingWindow, _ objective: RilqObjective, gradientScale: Double,
    recomputesLayers: Bool = false, to gradients: inout [LayerGradients], rotary: RotaryEmbedding
  ) throws -> RilqLoss {
    var hidden = try embed(window.tokens)
    var saved: [SavedLayer] = []
    for layer in layers {
      let input = hidden
      let activations = forward(layer, &hidden, rotary: rotary)
      saved.append(recomputesLayers ? .input(input) : .activations(activations))
    }
    let final = normalized(hidden, weight: finalNorm)
    let weights = objective.weights
    let factor = Float(2 * weights.model * gradientScale / Double(final.values.count))
    var dFinal: Matrix? = difference(final, window.teacher.span, scale: factor)
    var loss = logitLosses(final, window, objective, gradientScale: gradientScale, gradient: &dFinal)
    loss.modelLoss = meanSquaredDifference(final, window.teacher.span)
    var gradient = Matrix(rows: window.tokens.count, columns: configuration.hiddenSize)
    if let dFinal { addNormGradient(hidden, weight: finalNorm, dFinal, to: &gradient) }
    for index in layers.indices.reversed() {
      let activations = activations(saved.removeLast(), of: layers[index], rotary: rotary)
      backward(
        layers[index], activations, gradient: &gradient, gradients: &gradients[index], rotary: rotary)
    }
    return loss
  }

  /// What is kept of a layer between its forward and its backward pass.
  private enum SavedLayer {
    case activations(LayerActivations)
    case input(Matrix)
  }

  private func activations(
    _ saved: SavedLayer, of layer: DecoderLayer, rotary: RotaryEmbedding
  ) -> LayerActivations {
    switch saved {
    case .activations(let activations): return activations
    case .input(var hidden): return forward(layer, &hidden, rotary: rotary)
    }
  }

  private func difference(_ hidden: Matrix, _ teacher: Span<Float>, scale: Float) -> Matrix {
    precondition(hidden.values.count == teacher.count, "the teacher has another shape")
    var result = hidden
    for i in result.values.indices { result.values[i] = (result.values[i] - teacher[i]) * scale }
    return result
  }
}

/// The mean over elements of the squared difference from the original's.
func meanSquaredDifference(_ hidden: Matrix, _ teacher: Span<Float>) -> Double {
  precondition(hidden.values.count == teacher.count, "the teacher has another shape")
  let values = hidden.values.span
  var total = 0.0
  for i in values.indices {
    let difference = Double(values[i]) - Double(teacher[i])
    total += difference * difference
  }
  return total / Double(teacher.count)
}
