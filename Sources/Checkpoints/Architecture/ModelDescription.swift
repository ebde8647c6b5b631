/// The computation of a model and the names of its tensors, for one configuration.
package struct ModelDescription: Sendable, Equatable {
  /// The embedding, `[vocabulary, stream]`, below the prefix.
  package var embedding: TensorSlot
  /// The tokens that stand for images and sounds, each with the token whose embedding it has in a text.
  package var placeholders: [Int: Int] = [:]
  /// The factor of the embeddings.
  package var embeddingScale: Float = 1
  /// The layers, first to last.
  package var layers: [LayerDescription]
  /// The inputs of the layers beside the stream; nil without them.
  package var layerInputs: LayerInputsDescription?
  /// The norm after the last layer, below the prefix.
  package var finalNorm: NormDescription
  /// The output head, `[vocabulary, stream]`, without a prefix.
  package var head: TensorSlot
  /// The factor of the logits.
  package var logitScale: Float = 1
  /// The bound `c` of the logits, which become `c · tanh(logit / c)`; nil without one.
  package var logitCap: Float?

  /// Describes a model whose embeddings and logits are not changed.
  package init(
    embedding: TensorSlot, layers: [LayerDescription], finalNorm: NormDescription, head: TensorSlot
  ) {
    self.embedding = embedding
    self.layers = layers
    self.finalNorm = finalNorm
    self.head = head
  }
}

extension ModelDescription {
  /// The number of values that a token has beside the stream at most: keys and values for later layers.
  package var lentWidth: Int {
    layers.lazy.flatMap(\.parts).flatMap(\.operations).reduce(0) { width, operation in
      guard case .attention(let attention) = operation, case .lends = attention.sharing else { return width }
      return width + attention.keyValueColumns.count
    }
  }
}
