package import Kernels

/// The gradients of what is trained in one layer, group by group as in `DecoderLayer.groups`.
package struct LayerGradients: Sendable {
  /// One list for each group, one entry for each linear.
  package var groups: [[LinearGradients]]

  /// Zeros for the trained parts of a layer.
  package init(for layer: Transformer.DecoderLayer, training parts: TrainedParts) {
    groups = Transformer.DecoderLayer.groups.map { group in
      layer[keyPath: group].linears.map { LinearGradients(for: $0, training: parts) }
    }
  }
}

extension LayerGradients {
  /// Adds the gradients of another window.
  package mutating func add(_ other: LayerGradients) {
    for (group, linears) in other.groups.enumerated() {
      for (index, gradients) in linears.enumerated() { groups[group][index].add(gradients) }
    }
  }
}

extension LinearGradients {
  fileprivate mutating func add(_ other: LinearGradients) {
    Self.add(other.loraA, to: &loraA)
    Self.add(other.loraB, to: &loraB)
    Self.add(other.scales, to: &scales)
    Self.add(other.biases, to: &biases)
    Self.add(other.weights, to: &weights)
  }

  private static func add(_ values: [Float], to sum: inout [Float]) {
    var span = sum.mutableSpan
    addScaled(values.span, to: &span)
  }
}

extension Transformer {
  /// Runs one layer backward.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - saved: What its forward pass returned.
  ///   - gradient: The gradient of its output, `[tokens, hidden]`; becomes that of its input.
  ///   - gradients: Added to.
  ///   - rotary: The table of the forward pass.
  ///   - lend: Gets the number of each group, its input `[tokens, in]` and the gradient of its outputs `[tokens, out]`.
  package func backward(
    _ layer: DecoderLayer, _ saved: LayerActivations, gradient: inout Matrix,
    gradients: inout LayerGradients, rotary: RotaryEmbedding,
    lending lend: (Int, Matrix, Matrix) -> Void = { _, _, _ in }
  ) {
    backwardFeedForward(layer, saved, gradient: &gradient, gradients: &gradients, lend)
    backwardAttention(layer, saved, gradient: &gradient, gradients: &gradients, rotary: rotary, lend)
  }

  private func backwardFeedForward(
    _ layer: DecoderLayer, _ saved: LayerActivations, gradient: inout Matrix, gradients: inout LayerGradients,
    _ lend: (Int, Matrix, Matrix) -> Void
  ) {
    let tokens = gradient.rowCount
    var dGated = Matrix.unspecified(rows: tokens, columns: configuration.intermediateSize)
    let downInput = gated(saved.gateAndUp)
    lend(3, downInput, gradient)
    layer.down.backward(x: downInput, dy: gradient, gradients: &gradients.groups[3], into: &dGated)
    let dGateAndUp = gatedBackward(saved.gateAndUp, gradient: dGated)
    var dNormalized = Matrix.unspecified(rows: tokens, columns: configuration.hiddenSize)
    let input = normalized(saved.middle, weight: layer.middleNorm)
    lend(2, input, dGateAndUp)
    layer.gateAndUp.backward(
      x: input, dy: dGateAndUp, gradients: &gradients.groups[2], into: &dNormalized)
    addNormGradient(saved.middle, weight: layer.middleNorm, dNormalized, to: &gradient)
  }

  private func backwardAttention(
    _ layer: DecoderLayer, _ saved: LayerActivations, gradient: inout Matrix, gradients: inout LayerGradients,
    rotary: RotaryEmbedding, _ lend: (Int, Matrix, Matrix) -> Void
  ) {
    let tokens = gradient.rowCount
    lend(1, saved.attended, gradient)
    var dAttended = Matrix.unspecified(rows: tokens, columns: saved.attended.columnCount)
    layer.attentionOutput.backward(
      x: saved.attended, dy: gradient, gradients: &gradients.groups[1], into: &dAttended)
    var dQKV = attention.backward(saved.queriesKeysValues, gradient: dAttended)
    turn(&dQKV, rotary, inverse: true)
    var dNormalized = Matrix.unspecified(rows: tokens, columns: configuration.hiddenSize)
    let input = normalized(saved.input, weight: layer.inputNorm)
    lend(0, input, dQKV)
    layer.queriesKeysValues.backward(
      x: input, dy: dQKV, gradients: &gradients.groups[0], into: &dNormalized)
    addNormGradient(saved.input, weight: layer.inputNorm, dNormalized, to: &gradient)
  }

  /// The gradient of gate and up from that of `silu(gate) · up`.
  private func gatedBackward(_ gateAndUp: Matrix, gradient: Matrix) -> Matrix {
    let width = configuration.intermediateSize
    var result = Matrix.unspecified(rows: gateAndUp.rowCount, columns: 2 * width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: 2 * width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        let both = gateAndUp.values.span.extracting(gateAndUp.row(row))
        ScratchPool.shared.withScratch(width) { upGradient in
          var gateGradient = part._mutatingExtracting(2 * i * width..<(2 * i + 1) * width)
          siluMultiplyBackward(
            gate: both.extracting(0..<width), up: both.extracting(width..<2 * width),
            gradient: gradient.values.span.extracting(gradient.row(row)), gateGradient: &gateGradient,
            upGradient: &upGradient)
          for j in 0..<width { part[(2 * i + 1) * width + j] = upGradient[j] }
        }
      }
    }
    return result
  }

  /// Adds the gradient that goes through a norm to that of the residual stream.
  package func addNormGradient(
    _ x: Matrix, weight: [Float], _ normGradient: Matrix, to gradient: inout Matrix
  ) {
    let columnCount = x.columnCount
    let epsilon = configuration.normEpsilon
    var values = gradient.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part._mutatingExtracting(i * columnCount..<(i + 1) * columnCount)
        let input = x.values.span.extracting(x.row(row))
        rmsNormBackward(
          row: input, weight: weight.span,
          inverseRMS: 1 / (sumOfSquares(input) / Float(columnCount) + epsilon).squareRoot(),
          gradient: normGradient.values.span.extracting(normGradient.row(row)), accumulateInto: &target)
      }
    }
  }
}
