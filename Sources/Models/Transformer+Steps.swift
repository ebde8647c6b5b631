package import Kernels

/// One window on its way through a layer, halted before a group of linears.
package struct HaltedWindow: Sendable {
  /// The residual stream, `[tokens, hidden]`.
  package internal(set) var hidden: Matrix
  /// What attention gives, `[tokens, heads · headSize]`, while the window is halted behind it; empty elsewhere.
  ///
  /// What other groups read follows from the residual stream, so that it need not be kept.
  fileprivate var attended = Matrix(rows: 0, columns: 0)

  /// Starts with embeddings.
  package init(hidden: Matrix) { self.hidden = hidden }
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
    case 1:
      var qkv = layer.queriesKeysValues(input(of: window, layer, step: 0))
      turn(&qkv, rotary, inverse: false)
      window.attended = attention.forward(qkv)
    case 2:
      add(layer.attentionOutput(window.attended), to: &window.hidden)
      window.attended = Matrix(rows: 0, columns: 0)
    case Self.stepCount - 1:
      add(layer.down(input(of: window, layer, step: 3)), to: &window.hidden)
    default: break
    }
  }

  /// What the group of linears reads that a window is halted before.
  ///
  /// - Parameters:
  ///   - window: Where a step left it.
  ///   - layer: The layer of the step.
  ///   - step: The step, not the last one.
  /// - Returns: `[tokens, in]`.
  package func input(of window: HaltedWindow, _ layer: DecoderLayer, step: Int) -> Matrix {
    switch step {
    case 0: normalized(window.hidden, weight: layer.inputNorm)
    case 1: window.attended
    case 2: normalized(window.hidden, weight: layer.middleNorm)
    case 3: gated(layer.gateAndUp(normalized(window.hidden, weight: layer.middleNorm)))
    default: preconditionFailure("nothing reads a window behind the layer")
    }
  }
}
