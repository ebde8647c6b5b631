import Kernels

/// The place where a quantized model is compared with the original.
public enum LossScope: String, Sendable, CaseIterable {
  /// The output of every linear; each linear is trained for its own output.
  case linear
  /// The output of every layer; the linears of a layer are trained together.
  case layer
  /// The end of the model; all linears are trained together (RILQ).
  case model
}

extension Transformer {
  /// Computes the mean local loss of one window and its gradients; no gradient leaves its linear or layer, so
  /// keys and values that a layer borrows are held fixed.
  ///
  /// The original runs in step with this model, layer by layer, each on its own activations. The loss of an
  /// output is its squared difference divided by the original's square, so that large outputs count no more
  /// than small ones.
  ///
  /// - Parameters:
  ///   - tokens: The window.
  ///   - original: The original model.
  ///   - scope: `linear` or `layer`.
  ///   - gradientScale: The factor of the gradients; nil computes no gradients.
  ///   - gradients: One per layer; added to.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The mean over the compared outputs.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: The scopes that RILQ compares, arXiv:2412.01129, section 3.
  package func addLocalGradients(
    of tokens: [Int32], original: Transformer, scope: LossScope, gradientScale: Double?,
    to gradients: inout [LayerGradients], rotary: RotaryTables
  ) throws -> Double {
    var (window, target) = (
      HaltedWindow(try stream(of: tokens)), HaltedWindow(try original.stream(of: tokens))
    )
    var (total, outputCount) = (0.0, 0)
    for index in layers.indices {
      if scope == .linear {
        let (loss, count) = compareLinears(
          &window, &target, layer: index, original, gradientScale, &gradients[index], rotary: rotary)
        total += loss
        outputCount += count
      } else {
        outputCount += 1
        total += compareLayer(
          &window, &target, layer: index, original, gradientScale, &gradients[index], rotary: rotary)
      }
    }
    return total / Double(outputCount)
  }

  private func compareLayer(
    _ window: inout HaltedWindow, _ target: inout HaltedWindow, layer index: Int, _ original: Transformer,
    _ scale: Double?, _ gradients: inout LayerGradients, rotary: RotaryTables
  ) -> Double {
    let layer = layers[index]
    let activations = forward(layer, &window.stream, rotary: rotary)
    original.run(original.layers[index], &target.stream, rotary: rotary)
    var comparison = RelativeComparison(window.hidden, target.hidden)
    guard let scale else { return comparison.loss }
    comparison.gradient.scale(by: scale * comparison.gradientFactor)
    var gradient = StreamGradient(hidden: comparison.gradient)
    backward(layer, activations, gradient: &gradient, gradients: &gradients, rotary: rotary)
    return comparison.loss
  }

  /// Compares the output of every linear; an expert's linears are compared on the tokens that this model sends
  /// there.
  ///
  /// - Returns: The sum of the losses, and the number of linears that any token reaches.
  private func compareLinears(
    _ window: inout HaltedWindow, _ target: inout HaltedWindow, layer index: Int, _ original: Transformer,
    _ scale: Double?, _ gradients: inout LayerGradients, rotary: RotaryTables
  ) -> (total: Double, count: Int) {
    var (total, count) = (0.0, 0)
    let (layer, originalLayer) = (layers[index], original.layers[index])
    for (position, kind) in layer.groupKinds.enumerated() {
      advance(&window, through: layer, to: .before(kind), rotary: rotary)
      original.advance(&target, through: originalLayer, to: .before(kind), rotary: rotary)
      let group = layer.groups[position]
      let input = input(of: window, layer, before: kind)
      guard input.rowCount > 0 else { continue }
      let outputs = group(input)
      let expected = originalLayer[kind](
        original.input(of: target, originalLayer, before: kind, tokens: tokens(of: window, before: kind)))
      count += group.linears.count
      var dy = Matrix(rows: outputs.rowCount, columns: outputs.columnCount)
      for linear in group.linears.indices {
        let columns = group.columns(of: linear)
        var comparison = RelativeComparison(outputs.columns(columns), expected.columns(columns))
        total += comparison.loss
        comparison.gradient.scale(by: (scale ?? 0) * comparison.gradientFactor)
        dy.replace(columns, by: comparison.gradient)
      }
      guard scale != nil else { continue }
      var dx = Matrix.unspecified(rows: dy.rowCount, columns: group.inputCount)
      group.backward(x: input, dy: dy, gradients: &gradients.groups[position], into: &dx)
    }
    advance(&window, through: layer, to: layer.end, rotary: rotary)
    original.advance(&target, through: originalLayer, to: originalLayer.end, rotary: rotary)
    return (total, count)
  }
}

/// The difference of an output from the original's, relative to the original's.
private struct RelativeComparison {
  let loss: Double
  /// The difference; multiplied by `gradientFactor` it is the gradient of the loss.
  var gradient: Matrix
  let gradientFactor: Double

  init(_ output: Matrix, _ expected: Matrix) {
    var difference = output
    var span = difference.values.mutableSpan
    addScaled(expected.values.span, scale: -1, to: &span)
    let norm = max(expected.squaredNorm, .leastNormalMagnitude)
    loss = difference.squaredNorm / norm
    gradient = difference
    gradientFactor = 2 / norm
  }
}

extension Matrix {
  fileprivate var squaredNorm: Double { values.reduce(0) { $0 + Double($1) * Double($1) } }

  fileprivate mutating func scale(by factor: Double) {
    let factor = Float(factor)
    for i in values.indices { values[i] *= factor }
  }

  fileprivate func columns(_ range: Range<Int>) -> Matrix {
    var part = Matrix.unspecified(rows: rowCount, columns: range.count)
    for row in 0..<rowCount {
      for (i, column) in range.enumerated() {
        part.values[row * range.count + i] = values[row * columnCount + column]
      }
    }
    return part
  }

  fileprivate mutating func replace(_ range: Range<Int>, by part: Matrix) {
    for row in 0..<rowCount {
      for (i, column) in range.enumerated() {
        values[row * columnCount + column] = part.values[row * range.count + i]
      }
    }
  }
}
