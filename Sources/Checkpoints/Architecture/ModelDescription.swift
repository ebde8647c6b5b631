/// The computation of a model and the names of its tensors, for one configuration.
package struct ModelDescription: Sendable, Equatable {
  /// The embedding, `[vocabulary, stream]`, below the prefix.
  package var embedding: TensorSlot
  /// The factor of the embeddings.
  package var embeddingScale: Float = 1
  /// The layers, first to last.
  package var layers: [LayerDescription]
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
