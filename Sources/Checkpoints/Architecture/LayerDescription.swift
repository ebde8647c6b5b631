/// A tensor that every model, or every layer, of a family has.
package struct TensorSlot: Sendable, Equatable {
  /// The order of the rows in a GGUF file.
  package enum RowOrder: Sendable, Equatable {
    /// As in the checkpoint.
    case plain
    /// In each head, the two rows of a rotary pair are adjacent.
    ///
    /// The checkpoint has the first rows of all pairs, then the second rows.
    case rotaryPairs
  }

  /// The module in a Hugging Face checkpoint; in a layer, relative to the layer: `self_attn.q_proj`.
  package let module: String
  /// The name in a GGUF file; in a layer, relative to the layer: `attn_q`.
  package let gguf: String
  /// `[columns]` of a norm, `[rows, columns]` of a matrix.
  package let axes: [ModelAxis]
  /// The order of the rows in a GGUF file.
  package let rowOrder: RowOrder

  /// Describes a tensor.
  package init(_ module: String, gguf: String, _ axes: [ModelAxis], rowOrder: RowOrder = .plain) {
    precondition((1...2).contains(axes.count), "'\(module)' has \(axes.count) dimensions")
    self.module = module
    self.gguf = gguf
    self.axes = axes
    self.rowOrder = rowOrder
  }
}

/// A group of linears of a layer that read the same input.
package enum LinearGroupKind: Sendable, Hashable, CaseIterable {
  /// Queries, keys and values.
  case queriesKeysValues
  /// The linear from the heads back to the residual stream.
  case attentionOutput
  /// The gate of the feed-forward part, then the linear that it gates.
  case gateAndUp
  /// The linear from the inside of the feed-forward part back to the residual stream.
  case down
}

/// One operation of a layer; it replaces the value that flows through its part.
package enum LayerOperation: Sendable, Equatable {
  /// Divides each token by its root mean square and multiplies it by the weights of the norm.
  case norm(TensorSlot)
  /// Multiplies by linears and puts their outputs side by side.
  case linears(LinearGroupKind, [TensorSlot])
  /// Turns queries and keys by their positions.
  case rotary
  /// Replaces queries, keys and values with the weighted values of every head.
  case attention
  /// Replaces gate and up with `silu(gate) · up`.
  case gate
}

/// A part of a layer; it reads the residual stream, and its result is added to the stream.
package struct LayerPart: Sendable, Equatable {
  /// The operations in order; the result of the last one is added to the stream.
  package let operations: [LayerOperation]

  /// Joins operations in order.
  package init(_ operations: [LayerOperation]) { self.operations = operations }

  /// The groups of linears, in the order of the computation.
  package var groups: [LinearGroupKind] {
    operations.compactMap {
      guard case .linears(let kind, _) = $0 else { return nil }
      return kind
    }
  }
}

/// A layer as parts of operations over named tensors.
///
/// All code that computes or converts a layer reads this: forward and backward passes, single tokens, halted
/// windows, rotation, and the names of tensors in checkpoints and GGUF files.
package struct LayerDescription: Sendable, Equatable {
  /// The parts, each of which changes the stream that the next one reads.
  package let parts: [LayerPart]

  /// Joins parts in order; no group of linears may occur twice.
  package init(_ parts: [LayerPart]) {
    self.parts = parts
    let groups = parts.flatMap(\.groups)
    precondition(Set(groups).count == groups.count, "a group of linears stands twice in a layer")
  }

  /// The groups of linears, in the order of the computation.
  package var groups: [LinearGroupKind] { parts.flatMap(\.groups) }

  /// The place of a group of linears: the index of its part, and that of its operation in the part.
  package func place(of group: LinearGroupKind) -> (part: Int, operation: Int) {
    for (index, part) in parts.enumerated() {
      let operation = part.operations.firstIndex {
        guard case .linears(group, _) = $0 else { return false }
        return true
      }
      if let operation { return (index, operation) }
    }
    preconditionFailure("the layer has no group \(group)")
  }

  /// A tensor of the layer and its role in it.
  package struct Entry: Sendable, Equatable {
    /// The tensor.
    package let slot: TensorSlot
    /// The group of a linear; nil for a norm.
    package let group: LinearGroupKind?
    /// The norm whose output a linear reads directly, if any.
    package let norm: TensorSlot?
  }

  /// The tensors, in the order of the computation.
  package var entries: [Entry] {
    parts.flatMap { part in
      var entries: [Entry] = []
      var norm: TensorSlot?
      for operation in part.operations {
        switch operation {
        case .norm(let slot):
          entries.append(Entry(slot: slot, group: nil, norm: nil))
          norm = slot
        case .linears(let group, let slots):
          entries += slots.map { Entry(slot: $0, group: group, norm: norm) }
          norm = nil
        case .rotary, .attention, .gate: norm = nil
        }
      }
      return entries
    }
  }
}
