import Checkpoints
package import Kernels

/// What the operations of a layer need besides their input: which product is fastest, where the tokens stand in their
/// sequences, and which keys they see.
protocol LayerEnvironment {
  /// The outputs of a group of linears, adapters included.
  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix
  /// Turns queries and keys by the positions of the tokens.
  func turn(_ queriesKeysValues: inout Matrix)
  /// The weighted values of every head, for queries, keys and values after turning.
  mutating func attend(_ queriesKeysValues: Matrix) -> Matrix
}

/// A whole window, from its first token on.
struct WindowEnvironment: LayerEnvironment {
  let attention: Attention
  /// At least as many positions as there are tokens.
  let rotary: RotaryEmbedding

  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix { group(x) }

  func turn(_ queriesKeysValues: inout Matrix) {
    attention.turn(&queriesKeysValues, rotary, inverse: false)
  }

  func attend(_ queriesKeysValues: Matrix) -> Matrix { attention.forward(queriesKeysValues) }
}

extension Transformer {
  /// Computes an operation of a layer.
  ///
  /// - Parameters:
  ///   - operation: The operation.
  ///   - x: `[tokens, in]`; becomes `[tokens, out]`.
  ///   - layer: Has the weights.
  ///   - environment: Where the tokens stand.
  func apply(
    _ operation: LayerOperation, to x: inout Matrix, of layer: DecoderLayer,
    in environment: inout some LayerEnvironment
  ) {
    switch operation {
    case .norm(let slot): x = normalized(x, weight: layer[norm: slot])
    case .linears(let kind, _): x = environment.product(layer[kind], x)
    case .rotary: environment.turn(&x)
    case .attention: x = environment.attend(x)
    case .gate: x = gated(x)
    }
  }

  /// Runs one layer on the residual stream and keeps nothing.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - hidden: `[tokens, hidden]`; becomes the layer's output.
  ///   - environment: Where the tokens stand.
  func run(_ layer: DecoderLayer, _ hidden: inout Matrix, in environment: inout some LayerEnvironment) {
    for part in layer.description.parts {
      var x = hidden
      for operation in part.operations { apply(operation, to: &x, of: layer, in: &environment) }
      add(x, to: &hidden)
    }
  }

  /// Runs one layer on the residual stream.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - hidden: `[tokens, hidden]`; becomes the layer's output.
  ///   - rotary: At least as many positions as there are tokens.
  /// - Returns: What the backward pass needs.
  @discardableResult
  package func forward(
    _ layer: DecoderLayer, _ hidden: inout Matrix, rotary: RotaryEmbedding
  ) -> LayerActivations {
    var environment = WindowEnvironment(attention: attention, rotary: rotary)
    var activations = LayerActivations()
    for part in layer.description.parts {
      var x = hidden
      var inputs: [Matrix?] = []
      for (index, operation) in part.operations.enumerated() {
        inputs.append(part.keepsInput(of: index) ? x : nil)
        apply(operation, to: &x, of: layer, in: &environment)
      }
      add(x, to: &hidden)
      activations.inputs.append(inputs)
    }
    return activations
  }
}

/// What the backward pass of a layer needs from the forward pass; the rest is computed again.
package struct LayerActivations: Sendable {
  /// For each part the inputs of its operations, `[tokens, in]`; nil for those that are not kept.
  fileprivate(set) var inputs: [[Matrix?]] = []
}

extension LayerPart {
  /// Whether the input of an operation is kept for the backward pass.
  fileprivate func keepsInput(of index: Int) -> Bool {
    operations[index].needsInput && (index == 0 || !operations[index - 1].isComputedAgain)
  }
}

extension LayerOperation {
  /// Whether the backward pass reads the operation's input.
  var needsInput: Bool {
    switch self {
    case .rotary: false
    case .norm, .linears, .attention, .gate: true
    }
  }

  /// Whether the backward pass computes the operation's output again, since that takes less than the memory costs.
  var isComputedAgain: Bool {
    switch self {
    case .norm, .gate: true
    case .linears, .rotary, .attention: false
    }
  }
}
