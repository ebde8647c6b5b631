package import Kernels

/// A group of linears of a layer that read the same input.
package enum LinearGroupKind: Sendable, Hashable {
  /// Queries, keys and values.
  case queriesKeysValues
  /// The linear from the heads back to the residual stream.
  case attentionOutput
  /// The linears that the feed-forward part begins with: the gate, then the linear that it gates.
  case gateAndUp
  /// The linear from the inside of the feed-forward part back to the residual stream.
  case down
  /// The linears that a part with a state begins with: a gated delta net or a short convolution.
  case mixerInputs
  /// The linear from the result of a part with a state back to the residual stream.
  case mixerOutput
  /// The linear from the residual stream to the width of the layer's input beside it.
  case layerInputGate
  /// The linear from the width of the layer's input back to the residual stream.
  case layerInputProjection
  /// The gate of an expert, then the linear that it gates.
  case expertGateAndUp(Int)
  /// The linear from the inside of an expert back to the residual stream.
  case expertDown(Int)

  /// The groups of a layer of attention and one feed-forward part.
  package static let dense: Set<LinearGroupKind> = [.queriesKeysValues, .attentionOutput, .gateAndUp, .down]

  /// The expert that the linears belong to; nil if every token reaches them.
  package var expert: Int? {
    switch self {
    case .expertGateAndUp(let expert), .expertDown(let expert): expert
    case .queriesKeysValues, .attentionOutput, .gateAndUp, .down, .mixerInputs, .mixerOutput, .layerInputGate,
      .layerInputProjection:
      nil
    }
  }
}

/// One operation of a layer; it replaces the value that flows through its part.
package enum LayerOperation: Sendable, Equatable {
  /// Normalizes each token.
  case norm(NormDescription)
  /// Normalizes parts of each token, such as each query and each key.
  case headNorms([HeadNorm])
  /// Multiplies by linears and puts their outputs side by side.
  case linears(LinearGroupKind, [TensorSlot])
  /// Takes the queries, keys and values of each head together, and puts all queries, all keys and all values
  /// side by side.
  case separateHeads(AttentionDescription)
  /// Puts ranges of columns side by side; each column is in one of them at least.
  case columns([Range<Int>])
  /// Turns queries and keys by their positions.
  case rotary(RotaryDescription)
  /// Replaces queries, keys and values with the weighted values of every head.
  case attention(AttentionDescription)
  /// Passes the tokens in order through a state of fixed size.
  case recurrence(RecurrenceDescription)
  /// Replaces gate and up with `activation(gate) · up`.
  case gate(Activation)
  /// Applies the activation to each element.
  case activation(Activation)
  /// Multiplies each element.
  case scale(Float)
  /// Multiplies by some columns of the layers' inputs beside the stream.
  case layerInput(Range<Int>)
  /// Replaces each token with the weighted sum of the outputs of its experts.
  case experts(ExpertsDescription)
  /// Adds the result of the part before, which is held.
  case addHeld

  /// The groups of linears, in the order of the computation.
  package var groups: [LinearGroupKind] {
    switch self {
    case .linears(let kind, _): [kind]
    case .experts(let experts): experts.groups
    case .norm, .headNorms, .separateHeads, .columns, .rotary, .attention, .recurrence, .gate, .activation,
      .scale, .layerInput, .addHeld:
      []
    }
  }

  /// Whether the operation multiplies by a group of linears.
  func has(_ group: LinearGroupKind) -> Bool {
    switch self {
    case .linears(let kind, _): kind == group
    case .experts(let experts): experts.has(group)
    case .norm, .headNorms, .separateHeads, .columns, .rotary, .attention, .recurrence, .gate, .activation,
      .scale, .layerInput, .addHeld:
      false
    }
  }
}

/// A part of a layer; it reads the residual stream, and its result is added to the stream.
package struct LayerPart: Sendable, Equatable {
  /// The operations in order; the result of the last one is added to the stream, unless it is held.
  package let operations: [LayerOperation]
  /// Whether it reads the stream that the part before it read, not the sum after that part.
  package let isParallel: Bool
  /// Whether its result is held for the next part, which adds it by `addHeld`, and the stream stays as it is.
  package let isHeld: Bool

  /// Joins operations in order.
  package init(_ operations: [LayerOperation], isParallel: Bool = false, isHeld: Bool = false) {
    self.operations = operations
    self.isParallel = isParallel
    self.isHeld = isHeld
  }

  /// The groups of linears, in the order of the computation.
  package var groups: [LinearGroupKind] { operations.flatMap(\.groups) }
}

/// A layer as parts of operations over named tensors.
///
/// All code that computes or converts a layer reads this: forward and backward passes, single tokens, halted
/// windows, rotation, and the names of tensors in checkpoints and GGUF files.
package struct LayerDescription: Sendable, Equatable {
  /// The parts, each of which changes the stream that the next one reads.
  package let parts: [LayerPart]
  /// The tensors, in the order of the computation; each once.
  package let entries: [Entry]
  /// The groups of linears, in the order of the computation.
  package let groups: [LinearGroupKind]
  /// The factor of the stream after the last part, `[1]`; nil without one.
  package let streamFactor: TensorSlot?
  /// The positions of the entries by module.
  private let positions: [String: Int]

  /// Joins parts in order; no group of linears may occur twice.
  package init(_ parts: [LayerPart], streamFactor: TensorSlot? = nil) {
    self.parts = parts
    self.streamFactor = streamFactor
    groups = parts.flatMap(\.groups)
    precondition(Set(groups).count == groups.count, "a group of linears stands twice in a layer")
    precondition(parts.first?.isParallel != true, "there is no part before the first one")
    precondition(parts.last?.isHeld != true, "there is no part after the last one")
    let factor = streamFactor.map { [Entry(slot: $0, group: nil, ownNorm: nil, norm: nil)] } ?? []
    var modules: Set<String> = []
    entries = (parts.flatMap(\.entries) + factor).filter { modules.insert($0.slot.module).inserted }
    positions = Dictionary(
      entries.enumerated().map { ($1.slot.module, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The place of a group of linears: the index of its part, and that of its operation in the part.
  package func place(of group: LinearGroupKind) -> (part: Int, operation: Int) {
    for (index, part) in parts.enumerated() {
      if let operation = part.operations.firstIndex(where: { $0.has(group) }) { return (index, operation) }
    }
    preconditionFailure("the layer has no group \(group)")
  }

  /// A tensor of the layer and its role in it.
  package struct Entry: Sendable, Equatable {
    /// The tensor.
    package let slot: TensorSlot
    /// The group of a linear; nil for a vector and for a router.
    package let group: LinearGroupKind?
    /// The norm that a vector belongs to; nil for any other tensor.
    package let ownNorm: NormDescription?
    /// The norm whose output a linear reads directly, if any.
    package let norm: NormDescription?
    /// Whether it is the matrix that chooses experts.
    package var isRouter = false
  }

  /// The entry of a module, relative to the layer; nil if the layer does not have it.
  package func entry(of module: String) -> Entry? { positions[module].map { entries[$0] } }

  /// The experts of the layer, if it has any.
  package var experts: ExpertsDescription? {
    for part in parts {
      for case .experts(let experts) in part.operations { return experts }
    }
    return nil
  }
}

extension LayerPart {
  /// The tensors, in the order of the computation.
  fileprivate var entries: [LayerDescription.Entry] {
    var entries: [LayerDescription.Entry] = []
    var last: NormDescription?
    func add(_ norm: NormDescription) {
      guard norm.hasWeights else { return }
      entries.append(LayerDescription.Entry(slot: norm.slot, group: nil, ownNorm: norm, norm: nil))
    }
    func add(_ vectors: [TensorSlot]) {
      entries += vectors.map { LayerDescription.Entry(slot: $0, group: nil, ownNorm: nil, norm: nil) }
    }
    for operation in operations {
      var norm: NormDescription?
      switch operation {
      case .norm(let description):
        add(description)
        norm = description
      case .headNorms(let norms):
        for headNorm in norms { add(headNorm.norm) }
      case .linears(let group, let slots):
        entries += slots.map { LayerDescription.Entry(slot: $0, group: group, ownNorm: nil, norm: last) }
      case .attention(let attention): add(attention.sinks.map { [$0] } ?? [])
      case .recurrence(let recurrence):
        add(recurrence.vectors)
        if let norm = recurrence.norm { add(norm) }
      case .experts(let experts): entries += experts.entries(after: last)
      case .separateHeads, .columns, .rotary, .gate, .activation, .scale, .layerInput, .addHeld: break
      }
      last = norm
    }
    return entries
  }
}
