package import Checkpoints
package import Kernels

/// A place in a layer where windows can halt.
package enum LayerHalt: Sendable, Equatable {
  /// Before a group of linears, whose input is what the window has.
  case before(LinearGroupKind)
  /// After a part of the layer, which has changed the residual stream.
  case afterPart(Int)
}

/// One window on its way through a layer, halted before a group of linears.
package struct HaltedWindow: Sendable {
  /// The residual stream, `[tokens, hidden]`.
  package internal(set) var hidden: Matrix
  /// The part of the layer that the window is in.
  fileprivate var part = 0
  /// The operation of the part whose input `value` is.
  fileprivate var operation = 0
  /// What attention gives, `[tokens, heads · headSize]`, while the window is halted after it; nil for the residual stream.
  ///
  /// What other groups read follows from these two, so that it need not be kept.
  fileprivate var value: Matrix?

  /// Starts with embeddings.
  package init(hidden: Matrix) { self.hidden = hidden }
}

extension Transformer.DecoderLayer {
  /// Where windows halt after the last part.
  package var end: LayerHalt { .afterPart(description.parts.count - 1) }
}

extension Transformer {
  /// Takes a window to a place further on in a layer.
  ///
  /// All the way to the layer's end it is computed what `forward` computes; meanwhile linears can be changed whose turn is
  /// yet to come.
  ///
  /// - Parameters:
  ///   - window: Where it was halted before, or before the layer.
  ///   - layer: The layer.
  ///   - halt: Where it goes.
  ///   - rotary: At least as many positions as there are tokens.
  package func advance(
    _ window: inout HaltedWindow, through layer: DecoderLayer, to halt: LayerHalt, rotary: RotaryEmbedding
  ) {
    let parts = layer.description.parts
    var environment = WindowEnvironment(attention: attention, rotary: rotary)
    let target =
      switch halt {
      case .before(let group): layer.description.place(of: group)
      case .afterPart(let part): (part: part + 1, operation: 0)
      }
    precondition(window.part <= target.part, "the window is in part \(window.part), after \(halt)")
    while window.part < target.part {
      var x = window.value ?? window.hidden
      window.value = nil
      for operation in parts[window.part].operations[window.operation...] {
        apply(operation, to: &x, of: layer, in: &environment)
      }
      add(x, to: &window.hidden)
      (window.part, window.operation) = (window.part + 1, 0)
    }
    guard window.part < parts.count else {
      window.part = 0
      return
    }
    let operations = parts[window.part].operations
    guard let attention = operations[window.operation..<target.operation].lastIndex(of: .attention) else {
      return
    }
    var x = window.value ?? window.hidden
    window.value = nil
    for operation in operations[window.operation...attention] {
      apply(operation, to: &x, of: layer, in: &environment)
    }
    (window.operation, window.value) = (attention + 1, x)
  }

  /// What a group of linears reads that a window is halted before.
  ///
  /// - Parameters:
  ///   - window: Halted before the group.
  ///   - layer: The layer it is in.
  ///   - group: The group.
  /// - Returns: `[tokens, in]`.
  package func input(of window: HaltedWindow, _ layer: DecoderLayer, before group: LinearGroupKind) -> Matrix
  {
    let target = layer.description.place(of: group)
    precondition(window.part == target.part, "the window is in part \(window.part), not before \(group)")
    var x = window.value ?? window.hidden
    var environment = RecomputingEnvironment()
    for operation in layer.description.parts[window.part].operations[window.operation..<target.operation] {
      apply(operation, to: &x, of: layer, in: &environment)
    }
    return x
  }
}

/// What halted windows compute again: no attention, whose result is kept.
private struct RecomputingEnvironment: LayerEnvironment {
  func product(_ group: LinearGroup, _ x: Matrix) -> Matrix { group(x) }

  func turn(_ queriesKeysValues: inout Matrix) {
    preconditionFailure("what is turned is kept after attention")
  }

  func attend(_ queriesKeysValues: Matrix) -> Matrix { preconditionFailure("what attention gives is kept") }
}
