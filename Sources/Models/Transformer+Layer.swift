import Checkpoints
package import Kernels

/// The context of a layer's operations: how products are computed, the tokens' positions in their sequences,
/// and the keys that they see.
protocol LayerEnvironment {
  /// Computes the outputs of a group of linears, adapters included.
  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix
  /// Rotates queries and keys by the positions of the tokens.
  func turn(_ queriesKeysValues: inout Matrix)
  /// Computes the weighted values of every head from rotated queries and keys.
  mutating func attend(_ queriesKeysValues: Matrix) -> Matrix
}

/// A whole window, from its first token.
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
    case .norm(let slot): x = normalized(x, weight: layer[norm: slot])
    case .linears(let kind, _): x = environment.product(layer[kind], x)
    case .rotary: environment.turn(&x)
    case .attention: x = environment.attend(x)
    case .gate: x = gated(x)
    }
  }

  /// Runs one layer on the residual stream and keeps no activations.
  ///
  /// - Parameters:
  ///   - layer: The layer.
  ///   - hidden: `[tokens, hidden]`; becomes the layer's output.
  ///   - environment: The context of the tokens.
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
  /// - Returns: The activations that the backward pass needs.
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

/// The forward activations that the backward pass of a layer needs; the others are computed again.
package struct LayerActivations: Sendable {
  /// The inputs of each part's operations, `[tokens, in]`; nil for inputs that are not kept.
  fileprivate(set) var inputs: [[Matrix?]] = []
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
    case .rotary: false
    case .norm, .linears, .attention, .gate: true
    }
  }

  /// Whether the backward pass computes the operation's output again, because that costs less than its
  /// memory.
  var isComputedAgain: Bool {
    switch self {
    case .norm, .gate: true
    case .linears, .rotary, .attention: false
    }
  }
}
