import Checkpoints
import Kernels

extension Transformer {
  /// Computes the loss of one window.
  ///
  /// - Parameters:
  ///   - window: Its tokens and the original's output for them.
  ///   - objective: The parts of the loss.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6.
  package func rilqLoss(
    of window: TrainingWindow, _ objective: RilqObjective, rotary: RotaryTables
  ) throws -> RilqLoss {
    let hidden = try finalHidden(window.tokens, rotary: rotary)
    var unused: Matrix?
    var loss = logitLosses(hidden, window, objective, gradientScale: 0, gradient: &unused)
    loss.modelLoss = meanSquaredDifference(hidden, window.teacher.span)
    return loss
  }

  /// Computes the loss of one window and adds its gradients to those of the batch.
  ///
  /// - Parameters:
  ///   - window: Its tokens and the original's output for them.
  ///   - objective: The parts of the loss and their weights.
  ///   - gradientScale: The factor of the gradients: 1 / windows per batch.
  ///   - recomputesLayers: Whether each layer's forward pass is repeated before its backward pass, instead of
  ///     keeping its activations. This takes less memory and a quarter more work; the gradients are the same,
  ///     bit for bit.
  ///   - gradients: One per layer; added to.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6; recomputing: arXiv:1604.06174.
  package func addRilqGradients(
    of window: TrainingWindow, _ objective: RilqObjective, gradientScale: Double,
    recomputesLayers: Bool = false, to gradients: inout [LayerGradients], rotary: RotaryTables
  ) throws -> RilqLoss {
    var stream = try stream(of: window.tokens)
    var saved: [SavedLayer] = []
    for layer in layers {
      let input = stream
      let activations = forward(layer, &stream, rotary: rotary)
      saved.append(recomputesLayers ? .input(input) : .activations(activations))
    }
    let final = finalNorm(stream.hidden)
    let weights = objective.weights
    let factor = Float(2 * weights.model * gradientScale / Double(final.values.count))
    var dFinal: Matrix? = difference(final, window.teacher.span, scale: factor)
    var loss = logitLosses(final, window, objective, gradientScale: gradientScale, gradient: &dFinal)
    loss.modelLoss = meanSquaredDifference(final, window.teacher.span)
    var gradient = StreamGradient(
      hidden: Matrix(rows: window.tokens.count, columns: configuration.hiddenSize))
    if let dFinal { finalNorm.addGradient(stream.hidden, dFinal, to: &gradient.hidden) }
    for index in layers.indices.reversed() {
      let activations = activations(saved.removeLast(), of: layers[index], rotary: rotary)
      backward(
        layers[index], activations, gradient: &gradient, gradients: &gradients[index], rotary: rotary)
    }
    return loss
  }

  /// The state of a layer kept between its forward and its backward pass.
  private enum SavedLayer {
    case activations(LayerActivations)
    case input(WindowStream)
  }

  private func activations(
    _ saved: SavedLayer, of layer: DecoderLayer, rotary: RotaryTables
  ) -> LayerActivations {
    switch saved {
    case .activations(let activations): return activations
    case .input(var stream): return forward(layer, &stream, rotary: rotary)
    }
  }

  private func difference(_ hidden: Matrix, _ teacher: Span<Float>, scale: Float) -> Matrix {
    precondition(hidden.values.count == teacher.count, "the teacher has another shape")
    var result = hidden
    for i in result.values.indices { result.values[i] = (result.values[i] - teacher[i]) * scale }
    return result
  }
}

/// Returns the mean over elements of the squared difference from the original's hidden states.
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
