import Checkpoints
import Kernels

/// The context of a layer's operations: how products are computed, the tokens' positions in their sequences,
/// and the keys that they see.
protocol LayerEnvironment {
  /// Computes the outputs of a group of linears, adapters included.
  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix
  /// Rotates queries and keys by the positions of the tokens.
  func turn(_ queriesKeysValues: inout Matrix, _ rotary: RotaryDescription)
  /// Computes the weighted values of every head from rotated queries and keys.
  mutating func attend(_ queriesKeysValues: Matrix, _ attention: Attention) -> Matrix
  /// Passes the tokens in order through a state.
  mutating func recur(_ x: Matrix, _ recurrence: some Recurrence) -> Matrix
  /// Multiplies by some columns of the layers' inputs beside the stream.
  func multiply(_ x: Matrix, byLayerInput columns: Range<Int>, of model: Transformer) -> Matrix
  /// The result of a held part, until the next part has added it.
  var held: Matrix? { get set }
}

/// A whole window, from its first token.
struct WindowEnvironment: LayerEnvironment {
  /// At least as many positions as there are tokens.
  let rotary: RotaryTables
  /// What the layers have beside the stream.
  var context: WindowContext

  var held: Matrix? {
    get { context.held }
    set { context.held = newValue }
  }

  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix { group(x) }

  func turn(_ queriesKeysValues: inout Matrix, _ description: RotaryDescription) {
    rotary[description].turn(&queriesKeysValues, inverse: false)
  }

  mutating func attend(_ queriesKeysValues: Matrix, _ attention: Attention) -> Matrix {
    switch attention.description.sharing {
    case nil: break
    case .lends(let layer):
      context.lent[layer] = queriesKeysValues.selectingColumns([attention.description.keyValueColumns])
    case .borrows(let layer, let isLast):
      let output = attention.forward(context.completing(queriesKeysValues, from: layer))
      if isLast { context.lent[layer] = nil }
      return output
    }
    return attention.forward(queriesKeysValues)
  }

  func multiply(_ x: Matrix, byLayerInput columns: Range<Int>, of model: Transformer) -> Matrix {
    x.multiplied(by: model.layerInput(columns, of: context.tokens))
  }

  func recur(_ x: Matrix, _ recurrence: some Recurrence) -> Matrix { recurrence.forward(x) }
}

extension WindowContext {
  /// Puts the keys and values that a layer lends beside queries.
  func completing(_ queries: Matrix, from layer: Int) -> Matrix {
    guard let lent = lent[layer] else { preconditionFailure("layer \(layer) has not been computed") }
    return queries.beside(lent)
  }
}

extension Transformer {
  /// Computes one operation of a layer.
  ///
  /// - Parameters:
  ///   - operation: The operation.
  ///   - x: `[tokens, in]`; becomes `[tokens, out]`.
  ///   - layer: The layer's weights.
  ///   - environment: The context of the tokens.
  func apply(
    _ operation: LayerOperation, to x: inout Matrix, of layer: DecoderLayer,
    in environment: inout some LayerEnvironment
  ) {
    switch operation {
    case .norm(let norm): x = layer[norm: norm](x)
    case .headNorms(let norms):
      for norm in norms { layer[norm: norm.norm].apply(to: &x, columns: norm.columns) }
    case .linears(let kind, _): x = environment.product(layer[kind], x)
    case .separateHeads(let attention): x = x.separatingHeads(attention)
    case .columns(let ranges): x = x.selectingColumns(ranges)
    case .rotary(let rotary): environment.turn(&x, rotary)
    case .attention(let attention):
      let attended = environment.attend(x, self.attention(attention, of: layer))
      x = attention.isGated ? attended.gated(byColumnsOf: x, from: attention.inputWidth) : attended
    case .recurrence(let recurrence):
      switch recurrence {
      case .deltaNet(let net): x = environment.recur(x, DeltaNet(net, of: layer))
      case .shortConvolution(let short): x = environment.recur(x, ShortConvolution(short, of: layer))
      }
    case .gate(let activation): x = gated(x, by: activation)
    case .activation(let activation): x = activated(x, by: activation)
    case .scale(let factor): x.multiply(by: factor)
    case .layerInput(let columns): x = environment.multiply(x, byLayerInput: columns, of: self)
    case .experts(let experts): x = output(of: experts, x, layer, in: &environment)
    case .addHeld:
      guard let held = environment.held else { preconditionFailure("the part before is not held") }
      add(held, to: &x)
    }
  }

  /// The attention of a layer, with its sinks.
  func attention(_ description: AttentionDescription, of layer: DecoderLayer) -> Attention {
    Attention(description, sinks: layer[vector: description.sinks], operands: attentionOperands)
  }

  /// Runs one layer on the residual stream and keeps no activations.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - hidden: `[tokens, hidden]`; becomes the layer's output.
  ///   - environment: The context of the tokens.
  func run(_ layer: DecoderLayer, _ hidden: inout Matrix, in environment: inout some LayerEnvironment) {
    let parts = layer.description.parts
    var shared: Matrix?
    for (index, part) in parts.enumerated() {
      var x = part.isParallel ? shared ?? hidden : hidden
      shared = parts.isFollowedByParallel(index) ? x : nil
      for operation in part.operations { apply(operation, to: &x, of: layer, in: &environment) }
      environment.held = part.isHeld ? x : nil
      if !part.isHeld { add(x, to: &hidden) }
    }
    finish(layer, &hidden)
  }

  /// Runs one layer on a window and keeps no activations.
  func run(_ layer: DecoderLayer, _ stream: inout WindowStream, rotary: RotaryTables) {
    var environment = WindowEnvironment(rotary: rotary, context: stream.context)
    run(layer, &stream.hidden, in: &environment)
    stream.context = environment.context
  }

  /// Multiplies the stream, or its gradient, by the layer's factor.
  func finish(_ layer: DecoderLayer, _ stream: inout Matrix) {
    if layer.description.streamFactor != nil { stream.multiply(by: layer.streamFactor) }
  }

  /// Runs one layer on a window.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - stream: The window before the layer; becomes the window after it.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: The activations that the backward pass needs.
  @discardableResult
  package func forward(
    _ layer: DecoderLayer, _ stream: inout WindowStream, rotary: RotaryTables
  ) -> LayerActivations {
    var environment = WindowEnvironment(rotary: rotary, context: stream.context)
    var activations = LayerActivations(context: stream.context)
    let parts = layer.description.parts
    var shared: Matrix?
    for (index, part) in parts.enumerated() {
      var x = part.isParallel ? shared ?? stream.hidden : stream.hidden
      shared = parts.isFollowedByParallel(index) ? x : nil
      var inputs: [Matrix?] = []
      for (index, operation) in part.operations.enumerated() {
        inputs.append(part.keepsInput(of: index) ? x : nil)
        apply(operation, to: &x, of: layer, in: &environment)
      }
      environment.held = part.isHeld ? x : nil
      if !part.isHeld { add(x, to: &stream.hidden) }
      activations.inputs.append(inputs)
    }
    finish(layer, &stream.hidden)
    stream.context = environment.context
    return activations
  }
}

/// The forward activations that the backward pass of a layer needs; the others are computed again.
package struct LayerActivations: Sendable {
  /// The inputs of each part's operations, `[tokens, in]`; nil for inputs that are not kept.
  fileprivate(set) var inputs: [[Matrix?]] = []
  /// What the window had beside the stream before the layer.
  let context: WindowContext
}

extension [LayerPart] {
  /// Whether the next part reads the same stream as a part.
  func isFollowedByParallel(_ index: Int) -> Bool { index + 1 < count && self[index + 1].isParallel }
}

extension LayerPart {
  /// Whether an operation's input is kept for the backward pass.
  fileprivate func keepsInput(of index: Int) -> Bool {
    operations[index].needsInput && (index == 0 || !operations[index - 1].isComputedAgain)
  }
}

extension LayerOperation {
  /// Whether the backward pass reads the operation's input.
  var needsInput: Bool {
    switch self {
    case .rotary, .separateHeads, .columns, .scale, .layerInput, .addHeld: false
    case .norm, .headNorms, .linears, .attention, .recurrence, .gate, .activation, .experts: true
    }
  }

  /// Whether the backward pass computes the operation's output again, because that costs less than its
  /// memory.
  var isComputedAgain: Bool {
    switch self {
    case .norm, .gate, .activation: true
    case .headNorms, .linears, .separateHeads, .columns, .rotary, .attention, .recurrence, .scale,
      .layerInput, .experts, .addHeld:
      false
    }
  }
}
