package import Checkpoints
package import Kernels

/// The gradients of the trained parameters of one layer, group by group in the order of the computation.
package struct LayerGradients: Sendable {
  /// One list per group, with one entry per linear.
  package var groups: [[LinearGradients]]

  /// Creates zeros for the trained parameters of a layer.
  package init(for layer: Transformer.DecoderLayer, training parts: TrainedParts) {
    groups = layer.groups.map { group in
      group.linears.map { LinearGradients(for: $0, training: parts) }
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
  ///   - saved: The result of the layer's forward pass.
  ///   - gradient: The gradient of the window after the layer; becomes that of the window before it.
  ///   - gradients: Added to.
  ///   - rotary: The same table as in the forward pass.
  ///   - lend: Receives each group, its input `[tokens, in]` and the gradient of its outputs `[tokens, out]`.
  package func backward(
    _ layer: DecoderLayer, _ saved: LayerActivations, gradient: inout StreamGradient,
    gradients: inout LayerGradients, rotary: RotaryTables,
    lending lend: (LinearGroupKind, Matrix, Matrix) -> Void = { _, _, _ in }
  ) {
    finish(layer, &gradient.hidden)
    // The gradient of the sum of parts that read the same stream, while the first of them is still to come.
    var shared: Matrix?
    // The gradient of a part that is held, after that of the part which adds it.
    var held: Matrix?
    for (part, inputs) in zip(layer.description.parts, saved.inputs).reversed() {
      if part.isParallel, shared == nil { shared = gradient.hidden }
      var dy = shared ?? gradient.hidden
      if !part.isParallel { shared = nil }
      if part.isHeld {
        guard let own = held else { preconditionFailure("no part adds the result of a held one") }
        dy = own
        held = nil
      }
      for (index, operation) in part.operations.enumerated().reversed() {
        let x = operation.needsInput ? input(of: index, part, inputs, layer) : nil
        if case .norm(let norm) = operation, index == 0, let x {
          // The residual connection's gradient stays as it is and is added to in place.
          layer[norm: norm].addGradient(x, dy, to: &gradient.hidden)
          break
        }
        if case .addHeld = operation {
          held = dy
        } else {
          dy = inputGradient(
            of: operation, x, consume dy, layer, saved.context, &gradient.lent, &gradients, rotary: rotary,
            lend)
        }
        if index == 0 { add(dy, to: &gradient.hidden) }
      }
    }
  }

  /// Returns the input of an operation, either kept or computed again from the previous operation's input.
  private func input(of index: Int, _ part: LayerPart, _ inputs: [Matrix?], _ layer: DecoderLayer) -> Matrix {
    if let kept = inputs[index] { return kept }
    let before = input(of: index - 1, part, inputs, layer)
    switch part.operations[index - 1] {
    case .norm(let norm): return layer[norm: norm](before)
    case .gate(let activation): return gated(before, by: activation)
    case .activation(let activation): return activated(before, by: activation)
    case .headNorms, .linears, .separateHeads, .columns, .rotary, .attention, .recurrence, .scale,
      .layerInput, .experts, .addHeld:
      preconditionFailure("an input that is neither kept nor cheap")
    }
  }

  /// Computes the gradient of the input of attention, and passes those of keys and values between layers.
  ///
  /// - Parameters:
  ///   - description: The attention.
  ///   - x: Its input: queries alone if it borrows keys and values.
  ///   - dy: The gradient of its output, `[tokens, heads · headSize]`.
  ///   - layer: The layer's weights.
  ///   - context: What the window had beside the stream before the layer.
  ///   - lentGradients: The gradients of keys and values by the layer that lends them; a borrower adds to them,
  ///     the lender takes them.
  /// - Returns: As wide as `x`.
  private func inputGradient(
    of description: AttentionDescription, _ x: Matrix, _ dy: Matrix, _ layer: DecoderLayer,
    _ context: WindowContext, _ lentGradients: inout [Int: Matrix]
  ) -> Matrix {
    let attention = attention(description, of: layer)
    if case .borrows(let lender, _) = description.sharing {
      let dx = attention.backward(context.completing(x, from: lender), gradient: dy)
      let keysAndValues = dx.selectingColumns([description.keyValueColumns])
      let none = Matrix(rows: keysAndValues.rowCount, columns: keysAndValues.columnCount)
      lentGradients[lender, default: none].add(keysAndValues, atColumn: 0)
      return dx.selectingColumns([0..<description.queryWidth])
    }
    var dx =
      description.isGated ? attention.gatedBackward(x, gradient: dy) : attention.backward(x, gradient: dy)
    if case .lends(let index) = description.sharing, let borrowed = lentGradients.removeValue(forKey: index) {
      dx.add(borrowed, atColumn: description.keyValueColumns.lowerBound)
    }
    return dx
  }

  /// Computes the gradient of an operation's input and adds those of its trained parameters.
  ///
  /// - Parameters:
  ///   - operation: The operation.
  ///   - x: The operation's input, `[tokens, in]`; nil if it is not needed.
  ///   - dy: The gradient of the operation's output, `[tokens, out]`.
  ///   - layer: The layer's weights.
  ///   - context: What the window had beside the stream before the layer.
  ///   - lentGradients: The gradients of keys and values between layers.
  ///   - gradients: Added to.
  ///   - rotary: The same table as in the forward pass.
  ///   - lend: As in `backward`.
  /// - Returns: `[tokens, in]`.
  private func inputGradient(
    of operation: LayerOperation, _ x: Matrix?, _ dy: consuming Matrix, _ layer: DecoderLayer,
    _ context: WindowContext, _ lentGradients: inout [Int: Matrix], _ gradients: inout LayerGradients,
    rotary: RotaryTables, _ lend: (LinearGroupKind, Matrix, Matrix) -> Void
  ) -> Matrix {
    guard let x else { return inputGradient(of: operation, dy, context, rotary: rotary) }
    switch operation {
    case .norm(let norm):
      var dx = Matrix(rows: x.rowCount, columns: x.columnCount)
      layer[norm: norm].addGradient(x, dy, to: &dx)
      return dx
    case .headNorms(let norms):
      for norm in norms { layer[norm: norm.norm].replaceGradient(x, columns: norm.columns, &dy) }
      return dy
    case .linears(let kind, _):
      lend(kind, x, dy)
      let index = layer.index(of: kind)
      var dx = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
      layer.groups[index].backward(x: x, dy: dy, gradients: &gradients.groups[index], into: &dx)
      return dx
    case .attention(let attention): return inputGradient(of: attention, x, dy, layer, context, &lentGradients)
    case .recurrence(.deltaNet(let net)): return DeltaNet(net, of: layer).backward(x, gradient: dy)
    case .recurrence(.shortConvolution(let short)):
      return ShortConvolution(short, of: layer).backward(x, gradient: dy)
    case .gate(let activation): return gatedBackward(x, by: activation, gradient: dy)
    case .activation(let activation): return activatedBackward(x, by: activation, gradient: dy)
    case .experts(let experts): return inputGradient(of: experts, x, dy, layer, &gradients, lend)
    case .separateHeads, .columns, .rotary, .scale, .layerInput, .addHeld:
      preconditionFailure("this gradient needs no input")
    }
  }

  /// Computes the gradient of the input of an operation that does not need it.
  private func inputGradient(
    of operation: LayerOperation, _ dy: consuming Matrix, _ context: WindowContext, rotary: RotaryTables
  ) -> Matrix {
    switch operation {
    case .rotary(let description): rotary[description].turn(&dy, inverse: true)
    case .separateHeads(let attention): return dy.separatingHeads(attention, inverse: true)
    case .columns(let ranges): return dy.returningColumns(ranges)
    case .scale(let factor): dy.multiply(by: factor)
    case .layerInput(let columns): return dy.multiplied(by: layerInput(columns, of: context.tokens))
    case .norm, .headNorms, .linears, .attention, .recurrence, .gate, .activation, .experts, .addHeld:
      preconditionFailure("an operation without its input")
    }
    return dy
  }

  /// Computes the gradient of gate and up from that of `activation(gate) · up`.
  func gatedBackward(_ gateAndUp: Matrix, by activation: Activation, gradient: Matrix) -> Matrix {
    let width = gateAndUp.columnCount / 2
    var result = Matrix.unspecified(rows: gateAndUp.rowCount, columns: 2 * width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: 2 * width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        let both = gateAndUp.values.span.extracting(gateAndUp.row(row))
        ScratchPool.shared.withScratch(width) { upGradient in
          var gateGradient = part.slice(2 * i * width..<(2 * i + 1) * width)
          activateBackward(
            activation, gate: both.extracting(0..<width), up: both.extracting(width..<2 * width),
            gradient: gradient.values.span.extracting(gradient.row(row)), gateGradient: &gateGradient,
            upGradient: &upGradient)
          for j in 0..<width { part[(2 * i + 1) * width + j] = upGradient[j] }
        }
      }
    }
    return result
  }

  /// Computes the gradient of an activation's input.
  private func activatedBackward(_ x: Matrix, by activation: Activation, gradient: Matrix) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: 16) { rows, part in
      let elements = rows.lowerBound * x.columnCount..<rows.upperBound * x.columnCount
      activateBackward(
        activation, x.values.span.extracting(elements), gradient: gradient.values.span.extracting(elements),
        into: &part)
    }
    return result
  }
}
