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
  /// Whether each layer can be computed from the stream alone.
  package var layersReadStreamOnly: Bool {
    let operations = layers.lazy.flatMap(\.parts).flatMap(\.operations)
    return layerInputs == nil
      && !operations.contains {
        guard case .attention(let attention) = $0 else { return false }
        return attention.sharing != nil
      }
  }
}
