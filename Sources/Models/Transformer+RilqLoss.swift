package import Kernels
import Synchronization

/// The two parts of the RILQ loss of a window.
public struct RilqLoss: Sendable, Equatable {
  /// Mean squared difference of the hidden states after the final norm, over tokens and features.
  public var modelLoss: Double
  /// Mean cross entropy of tokens 2… given those before, in nats.
  public var groundTruthLoss: Double

  /// Joins the two parts.
  public init(modelLoss: Double, groundTruthLoss: Double) {
    self.modelLoss = modelLoss
    self.groundTruthLoss = groundTruthLoss
  }

  /// The weighted sum that is minimised.
  public func total(_ weights: RilqLossWeights) -> Double {
    weights.model * modelLoss + weights.groundTruth * groundTruthLoss
  }
}

/// The factors of the two parts of the loss; the paper uses a half each.
public struct RilqLossWeights: Sendable, Equatable {
  /// The factor of the model loss.
  public var model: Double
  /// The factor of the ground-truth loss.
  public var groundTruth: Double

  /// Chooses factors.
  public init(model: Double = 0.5, groundTruth: Double = 0.5) {
    self.model = model
    self.groundTruth = groundTruth
  }
}

extension Transformer {
  /// The tokens whose logits exist at the same time.
  package static let tokensPerLogitBlock = 256

  /// The RILQ loss of one window.
  ///
  /// - Parameters:
  ///   - tokens: One window, at least two tokens.
  ///   - teacher: The original model's hidden state after the final norm, `[tokens, hidden]`.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: Both parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6.
  package func rilqLoss(
    _ tokens: [Int32], teacher: Span<Float>, rotary: RotaryEmbedding
  ) throws -> RilqLoss {
    let hidden = try finalHidden(tokens, rotary: rotary)
    var unused: Matrix?
    return RilqLoss(
      modelLoss: meanSquaredDifference(hidden, teacher),
      groundTruthLoss: crossEntropy(hidden, tokens, gradientScale: 0, gradient: &unused))
  }

  /// The RILQ loss of one window, and its gradients added to those of the window's batch.
  ///
  /// - Parameters:
  ///   - tokens: One window, at least two tokens.
  ///   - teacher: The original model's hidden state after the final norm, `[tokens, hidden]`.
  ///   - weights: The factors of the two parts.
  ///   - gradientScale: What the gradients are multiplied with, 1 over the windows of a batch.
  ///   - gradients: One for each layer; added to.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: Both parts, not weighted.
  /// - Throws: `ModelError.tokenOutOfRange`.
  /// - Source: RILQ, arXiv:2412.01129, equations 5 and 6.
  package func addRilqGradients(
    _ tokens: [Int32], teacher: Span<Float>, weights: RilqLossWeights, gradientScale: Double,
    to gradients: inout [LayerGradients], rotary: RotaryEmbedding
  ) throws -> RilqLoss {
    var hidden = try embed(tokens)
    var saved: [LayerActivations] = []
    for layer in layers { saved.append(forward(layer, &hidden, rotary: rotary)) }
    let final = normalized(hidden, weight: finalNorm)

    let factor = Float(2 * weights.model * gradientScale / Double(final.values.count))
    var dFinal: Matrix? = difference(final, teacher, scale: factor)
    let loss = RilqLoss(
      modelLoss: meanSquaredDifference(final, teacher),
      groundTruthLoss: crossEntropy(
        final, tokens, gradientScale: weights.groundTruth * gradientScale, gradient: &dFinal))
    var gradient = Matrix(rows: tokens.count, columns: configuration.hiddenSize)
    if let dFinal { addNormGradient(hidden, weight: finalNorm, dFinal, to: &gradient) }
    for index in layers.indices.reversed() {
      backward(
        layers[index], saved.removeLast(), gradient: &gradient, gradients: &gradients[index], rotary: rotary)
    }
    return loss
  }

  private func meanSquaredDifference(_ hidden: Matrix, _ teacher: Span<Float>) -> Double {
    precondition(hidden.values.count == teacher.count, "the teacher has another shape")
    let values = hidden.values.span
    var total = 0.0
    for i in values.indices {
      let difference = Double(values[i]) - Double(teacher[i])
      total += difference * difference
    }
    return total / Double(teacher.count)
  }

  private func difference(_ hidden: Matrix, _ teacher: Span<Float>, scale: Float) -> Matrix {
    var result = hidden
    for i in result.values.indices { result.values[i] = (result.values[i] - teacher[i]) * scale }
    return result
  }

  /// The mean cross entropy of a window; with a gradient, that of `gradientScale` times the loss is added to it.
  private func crossEntropy(
    _ hidden: Matrix, _ tokens: [Int32], gradientScale: Double, gradient: inout Matrix?
  ) -> Double {
    let scoredCount = tokens.count - 1
    precondition(scoredCount > 0, "a window needs at least two tokens")
    var total = 0.0
    for start in stride(from: 0, to: scoredCount, by: Self.tokensPerLogitBlock) {
      let block = start..<min(start + Self.tokensPerLogitBlock, scoredCount)
      let input = hidden.rows(block)
      var logits = logits(input)
      total += logits.replaceByCrossEntropyGradient(
        targets: tokens[block.lowerBound + 1...block.upperBound],
        scale: Float(gradientScale / Double(scoredCount)))
      if gradient != nil {
        var dInput = Matrix.unspecified(rows: block.count, columns: hidden.columnCount)
        var none = head.linears.map { LinearGradients(for: $0, training: []) }
        head.backward(x: input, dy: logits, gradients: &none, into: &dInput)
        gradient?.addRows(dInput, at: block.lowerBound)
      }
    }
    return total / Double(scoredCount)
  }
}

extension Matrix {
  /// A copy of some rows.
  package func rows(_ range: Range<Int>) -> Matrix {
    Matrix(
      rows: range.count, columns: columnCount,
      values: Array(values[range.lowerBound * columnCount..<range.upperBound * columnCount]))
  }

  fileprivate mutating func addRows(_ other: Matrix, at row: Int) {
    let start = row * columnCount
    for i in other.values.indices { values[start + i] += other.values[i] }
  }

  /// Turns logits into the gradient of their cross entropy, row by row.
  ///
  /// - Returns: The sum of the rows' cross entropies, added in the order of the rows.
  fileprivate mutating func replaceByCrossEntropyGradient(targets: ArraySlice<Int32>, scale: Float) -> Double
  {
    let columnCount = self.columnCount
    let losses = Mutex([Double](repeating: 0, count: rowCount))
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 8) { rows, part in
      for (i, row) in rows.enumerated() {
        var logits = part._mutatingExtracting(i * columnCount..<(i + 1) * columnCount)
        let loss = crossEntropyRow(
          logits: &logits, target: Int(targets[targets.startIndex + row]), gradientScale: scale)
        losses.withLock { $0[row] = loss }
      }
    }
    return losses.withLock { $0.reduce(0, +) }
  }
}
