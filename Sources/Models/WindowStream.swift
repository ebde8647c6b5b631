package import Kernels

/// A window between two layers: the residual stream, and what layers have beside it.
package struct WindowStream: Sendable {
  /// The residual stream, `[tokens, hidden]`.
  package internal(set) var hidden: Matrix
  /// What layers have beside the stream.
  package internal(set) var context: WindowContext
}

/// The gradient of a window between two layers.
package struct StreamGradient: Sendable {
  /// The gradient of the residual stream, `[tokens, hidden]`.
  package internal(set) var hidden: Matrix
  /// The gradients of the keys and values that earlier layers lend, as in `WindowContext`; those of a layer are
  /// missing until a borrower has added some.
  var lent: [Int: Matrix] = [:]

  /// The gradient of a stream whose keys and values have none so far.
  package init(hidden: Matrix) { self.hidden = hidden }
}

/// What the layers of a window have beside the residual stream.
package struct WindowContext: Sendable {
  /// The tokens, which the inputs of layers beside the stream follow from.
  let tokens: [Int32]
  /// Keys and values of layers that later layers borrow, `[tokens, 2 · key-value width]`, by layer.
  ///
  /// They are there from the layer that lends them to the last one that borrows them.
  package internal(set) var lent: [Int: Matrix] = [:]
  /// The result of a held part, until the next part has added it.
  var held: Matrix?
}

extension Transformer {
  /// Begins a window with its embeddings.
  ///
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func stream(of tokens: [Int32]) throws -> WindowStream {
    WindowStream(hidden: try embed(tokens), context: WindowContext(tokens: tokens))
  }

  /// The inputs of one or more layers beside the stream.
  ///
  /// - Parameters:
  ///   - columns: The columns of these layers.
  ///   - tokens: Ids inside the vocabulary.
  /// - Returns: `[tokens, columns]`.
  func layerInput(_ columns: Range<Int>, of tokens: [Int32]) -> Matrix {
    guard let layerInputs else { preconditionFailure("the layers get inputs beside the stream") }
    return layerInputs(tokens, embeddings(of: tokens), columns)
  }
}
