package import Kernels

/// One window on its way through a layer, halted before a group of linears.
package struct HaltedWindow: Sendable {
  /// The residual stream, `[tokens, hidden]`.
  package internal(set) var hidden: Matrix
  /// What the next group of linears reads, `[tokens, in]`; empty behind the last one.
  package fileprivate(set) var input: Matrix

  /// Starts with embeddings.
  package init(hidden: Matrix) {
    self.hidden = hidden
    input = Matrix(rows: 0, columns: 0)
  }
}

extension Transformer {
  /// The steps of a layer: one before each of `DecoderLayer.groups`, and one behind them.
  package static let stepCount = DecoderLayer.groups.count + 1

  /// Takes a window to the next group of linears, or with the last step out of the layer.
  ///
  /// All steps together compute what `forward` computes; between them linears can be changed whose turn is yet to come.
  ///
  /// - Parameters:
  ///   - window: Where the step before left it.
  ///   - layer: The layer.
  ///   - step: `0..<stepCount`.
  ///   - rotary: At least as many positions as there are tokens.
  package func advance(
    _ window: inout HaltedWindow, through layer: DecoderLayer, step: Int, rotary: RotaryEmbedding
  ) {
    switch step {
    case 0: window.input = normalized(window.hidden, weight: layer.inputNorm)
    case 1:
      var qkv = layer.queriesKeysValues(window.input)
      turn(&qkv, rotary, inverse: false)
      window.input = attention.forward(qkv)
    case 2:
      add(layer.attentionOutput(window.input), to: &window.hidden)
      window.input = normalized(window.hidden, weight: layer.middleNorm)
    case 3: window.input = gated(layer.gateAndUp(window.input))
    default:
      add(layer.down(window.input), to: &window.hidden)
      window.input = Matrix(rows: 0, columns: 0)
    }
  }
}
