/// Inputs that each layer gets for each token beside the stream, as in Gemma 4 E2B and E4B.
///
/// For all layers side by side: `(norm(projection(embedding) · a) + table[token] · b) · c`, with the factors of
/// projection, table and sum, and a norm over the columns of each layer.
package struct LayerInputsDescription: Sendable, Equatable {
  /// `[tokens, layers · width]`, below the prefix.
  package let table: TensorSlot
  /// The factor of the table's rows.
  package let tableFactor: Float
  /// `[layers · width, stream]`, below the prefix.
  package let projection: TensorSlot
  /// The factor of the projected embeddings.
  package let projectionFactor: Float
  /// The norm of the columns of each layer, `[width]`, below the prefix.
  package let norm: NormDescription
  /// The factor of the sum.
  package let factor: Float

  /// The number of columns of all layers.
  package var totalWidth: Int { table.shape[1] }
}
