/// A tensor that a model, or a layer of it, has.
package struct TensorSlot: Sendable, Equatable {
  /// The order of the rows in a GGUF file.
  package enum RowOrder: Sendable, Equatable {
    /// As in the checkpoint.
    case plain
    /// In each head, the two rows of a rotary pair are adjacent.
    ///
    /// The checkpoint has the first rows of all pairs, then the second rows.
    case rotaryPairs
    /// Queries, keys and values of all heads, one after the other.
    ///
    /// The checkpoint has queries, keys and values of each head together.
    case headsApart
  }

  /// The module in a Hugging Face checkpoint; in a layer, relative to the layer: `self_attn.q_proj`.
  package let module: String
  /// The name in a GGUF file; in a layer, relative to the layer: `attn_q`.
  package let gguf: String
  /// `[columns]` of a vector, `[rows, columns]` of a matrix, `[channels, 1, taps]` of a convolution.
  package let axes: [ModelAxis]
  /// The order of the rows in a GGUF file.
  package let rowOrder: RowOrder
  /// Whether a bias, `[rows]` or `[columns]` of a vector, stands beside the weight according to the
  /// configuration; the checkpoint decides.
  package let hasBias: Bool
  /// The ending of the name in a checkpoint: `.weight`, or nothing.
  package let ending: String
  /// Whether a linear may have few bits, or an adapter.
  ///
  /// Small linears that decide over a whole head, or over experts, may not.
  package let isQuantizable: Bool
  /// How a GGUF file holds it.
  package let ggufForm: GGUFForm

  /// Describes a tensor.
  package init(
    _ module: String, gguf: String, _ axes: [ModelAxis], rowOrder: RowOrder = .plain, hasBias: Bool = false,
    ending: String = ModuleTensor.weight.rawValue, isQuantizable: Bool = true,
    ggufForm: GGUFForm = GGUFForm()
  ) {
    precondition((1...3).contains(axes.count), "'\(module)' has \(axes.count) dimensions")
    self.module = module
    self.gguf = gguf
    self.axes = axes
    self.rowOrder = rowOrder
    self.hasBias = hasBias
    self.ending = ending
    self.isQuantizable = isQuantizable
    self.ggufForm = ggufForm
  }

  /// The size of each dimension.
  package var shape: [Int] { axes.map(\.size) }
}
