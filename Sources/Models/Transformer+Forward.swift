import Checkpoints
package import Kernels

extension Transformer {
  /// Returns the embeddings of tokens, `[tokens, hidden]`.
  ///
  /// - Throws: `ModelError.tokenOutOfRange`.
  func embed(_ tokens: [Int32]) throws -> Matrix {
    let size = configuration.vocabularySize
    if let token = tokens.first(where: { !(0..<size).contains(Int($0)) }) {
      throw ModelError.tokenOutOfRange(id: Int(token), vocabularySize: size)
    }
    return embeddings(of: tokens)
  }

  /// Returns the embeddings of tokens inside the vocabulary, `[tokens, hidden]`.
  func embeddings(of tokens: [Int32]) -> Matrix {
    var hidden = Matrix(rows: tokens.count, columns: configuration.hiddenSize)
    let width = configuration.hiddenSize
    var values = hidden.values.mutableSpan
    for (i, token) in tokens.enumerated() {
      let known = configuration.description.placeholders[Int(token)] ?? Int(token)
      var row = values.slice(i * width..<(i + 1) * width)
      embedding.unpack(rows: known..<known + 1, columns: 0..<width, into: &row)
    }
    let scale = configuration.description.embeddingScale
    if scale != 1 { hidden.multiply(by: scale) }
    return hidden
  }

  /// Computes the hidden state after the final norm, `[tokens, hidden]`.
  ///
  /// - Parameters:
  ///   - tokens: One window.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: `[tokens, hidden]`.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func finalHidden(_ tokens: [Int32], rotary: RotaryTables) throws -> Matrix {
    var stream = try stream(of: tokens)
    for layer in layers { run(layer, &stream, rotary: rotary) }
    return finalNorm(stream.hidden)
  }

  /// Creates the rotary tables for windows of a length.
  package func rotaryTables(positions: Int) -> RotaryTables {
    RotaryTables(configuration, positionCount: positions)
  }

  /// Computes the logits of hidden states after the final norm.
  ///
  /// - Parameter hidden: `[tokens, hidden]`.
  /// - Returns: `[tokens, vocabulary]`.
  package func logits(_ hidden: Matrix) -> Matrix { finished(logits: head(hidden)) }

  /// Applies the factor and the bound of the logits to the output of the head.
  func finished(logits: consuming Matrix) -> Matrix {
    let description = configuration.description
    if description.logitScale != 1 { logits.multiply(by: description.logitScale) }
    if let cap = description.logitCap { logits.bound(by: cap) }
    return logits
  }

  /// Computes the gradient of hidden states after the final norm from that of their logits.
  ///
  /// - Parameters:
  ///   - hidden: `[tokens, hidden]`.
  ///   - gradient: The gradient of the logits, `[tokens, vocabulary]`.
  ///   - logits: The logits, which only a bound needs; see `logitsNeededByGradient`.
  /// - Returns: `[tokens, hidden]`.
  func hiddenGradient(_ hidden: Matrix, ofLogits gradient: consuming Matrix, _ logits: Matrix?) -> Matrix {
    let description = configuration.description
    if let cap = description.logitCap, let logits { gradient.multiplyByBoundDerivative(logits, cap: cap) }
    if description.logitScale != 1 { gradient.multiply(by: description.logitScale) }
    var result = Matrix.unspecified(rows: hidden.rowCount, columns: hidden.columnCount)
    var none = head.linears.map { LinearGradients(for: $0, training: []) }
    head.backward(x: hidden, dy: gradient, gradients: &none, into: &result)
    return result
  }

  /// Returns the logits that `hiddenGradient` needs: a copy if they are bounded, otherwise nil.
  func logitsNeededByGradient(_ logits: Matrix) -> Matrix? {
    configuration.description.logitCap == nil ? nil : logits
  }

  /// Computes the gated activation: `activation(gate) · up`.
  ///
  /// - Parameters:
  ///   - gateAndUp: `[tokens, 2 · intermediate]`.
  ///   - activation: The activation of the gate.
  /// - Returns: `[tokens, intermediate]`.
  package func gated(_ gateAndUp: Matrix, by activation: Activation) -> Matrix {
    let width = gateAndUp.columnCount / 2
    var result = Matrix.unspecified(rows: gateAndUp.rowCount, columns: width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        let both = gateAndUp.values.span.extracting(gateAndUp.row(row))
        var target = part.slice(i * width..<(i + 1) * width)
        activate(
          activation, gate: both.extracting(0..<width), up: both.extracting(width..<2 * width), into: &target)
      }
    }
    return result
  }

  /// Applies an activation to each element.
  func activated(_ x: Matrix, by activation: Activation) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: 16) { rows, part in
      activate(
        activation,
        x.values.span.extracting(rows.lowerBound * x.columnCount..<rows.upperBound * x.columnCount),
        into: &part)
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
