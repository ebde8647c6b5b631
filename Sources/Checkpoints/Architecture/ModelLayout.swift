/// A tensor of a model: its names, its shape and its role.
package struct ModelTensor: Sendable, Equatable {
  /// The role of a tensor in the computation.
  package enum Role: Sendable, Equatable {
    case embedding
    case norm(NormDescription)
    case linear(LinearGroupKind)
    case head
    /// A vector that is no norm.
    case vector
    /// The matrix that chooses the experts of a token; it is never quantized.
    case router
  }

  /// The module in the checkpoint: `model.layers.0.self_attn.q_proj`.
  package let module: String
  /// The name in a GGUF file without its ending: `blk.0.attn_q`.
  package let gguf: String
  /// Its description, independent of its place.
  package let slot: TensorSlot
  /// Its role in the computation.
  package let role: Role
  /// The module of the norm whose output it reads directly, if any.
  package let norm: String?

  /// `[columns]` of a vector, `[rows, columns]` of a matrix.
  package var shape: [Int] { slot.shape }
  /// The name of the weight in the checkpoint.
  package var name: String { module + slot.ending }
  /// The name of the bias in the checkpoint, whether it has one or not.
  package var biasName: String { ModuleTensor.bias.name(of: module) }

  /// Whether it is a matrix or vector that can have a bias beside it.
  package var canHaveBias: Bool {
    switch role {
    case .linear, .head, .router: true
    case .norm(let norm): norm.kind == .standardDeviation
    case .embedding, .vector: false
    }
  }
}

/// Where the tensors of a model are in its checkpoint, and which shapes they have.
package struct ModelLayout: Sendable, Equatable {
  /// The hyperparameters.
  package let configuration: ModelConfiguration
  /// The prefix of all modules except the head: `model.`, or nothing in a checkpoint of the model without its
  /// head.
  package let prefix: String
  /// The prefix of the head.
  package let headPrefix: String
  private var family: ModelFamily { configuration.family }
  private var description: ModelDescription { configuration.description }

  /// Finds the prefix of a checkpoint's modules.
  ///
  /// - Parameters:
  ///   - configuration: The hyperparameters.
  ///   - has: Whether the checkpoint has a tensor with a name.
  package init(_ configuration: ModelConfiguration, has: (String) -> Bool = { _ in true }) {
    let family = configuration.family
    let description = configuration.description
    self.configuration = configuration
    prefix =
      family.prefixes.first { has(ModuleTensor.weight.name(of: $0 + description.embedding.module)) }
      ?? family.prefixes[0]
    headPrefix =
      family.headPrefixes.first { has(ModuleTensor.weight.name(of: $0 + description.head.module)) }
      ?? family.headPrefixes[0]
  }

  /// Reads a checkpoint's configuration and finds its tensors.
  ///
  /// - Throws: `FormatError` when `config.json` is missing, malformed, or describes another architecture.
  package init(of checkpoint: Checkpoint) throws {
    self.init(try ModelConfiguration(of: checkpoint)) { checkpoint.tensor(named: $0) != nil }
  }

  /// The embedding, `[vocabulary, stream]`.
  package var embedding: ModelTensor {
    tensor(description.embedding, module: prefix + description.embedding.module, role: .embedding)
  }

  /// The norm after the last layer, `[stream]`.
  package var finalNorm: ModelTensor {
    let norm = description.finalNorm
    return tensor(norm.slot, module: prefix + norm.slot.module, role: .norm(norm))
  }

  /// The output head, `[vocabulary, stream]`; the checkpoint may lack it.
  package var head: ModelTensor {
    tensor(
      description.head, module: headPrefix + description.head.module, role: .head, norm: finalNorm.module)
  }

  /// The tensors of a layer, in the order of the computation.
  package func layer(_ index: Int) -> [ModelTensor] {
    let module = "\(prefix)\(family.layers.module).\(index)."
    return description.layers[index].entries.map { entry in
      tensor(
        entry.slot, module: module + entry.slot.module, gguf: "\(family.layers.gguf).\(index).",
        role: entry.role,
        norm: entry.norm.map { module + $0.slot.module })
    }
  }

  /// Every tensor except the head, layer by layer.
  ///
  /// Made one layer at a time, because a configuration may claim any number of layers.
  package var bodyTensors: some Sequence<ModelTensor> {
    let layerCount = configuration.layerCount
    return (-1...layerCount).lazy.flatMap { index in
      switch index {
      case -1: [embedding]
      case layerCount: [finalNorm]
      default: layer(index)
      }
    }
  }

  private func tensor(
    _ slot: TensorSlot, module: String, gguf: String = "", role: ModelTensor.Role, norm: String? = nil
  ) -> ModelTensor {
    ModelTensor(module: module, gguf: gguf + slot.gguf, slot: slot, role: role, norm: norm)
  }
}

extension ModelLayout {
  /// Checks from headers alone that every tensor is there and has the shape that the configuration says.
  ///
  /// Call this before anything is sized by the configuration, which may claim any sizes.
  ///
  /// - Throws: `FormatError` with the first tensor that is missing or has another shape.
  package func requireTensors(in checkpoint: Checkpoint) throws(FormatError) {
    let checkpoint = try checkpoint.separatingExperts(layout: self)
    for tensor in bodyTensors { try require(tensor, in: checkpoint) }
    guard checkpoint.tensor(named: head.name) != nil || !configuration.tiesEmbeddings else { return }
    try require(head, in: checkpoint)
  }

  private func require(_ tensor: ModelTensor, in checkpoint: Checkpoint) throws(FormatError) {
    guard let info = checkpoint.tensor(named: tensor.name) else {
      throw FormatError(checkpoint.path, .missing("tensor '\(tensor.name)'"))
    }
    try require(
      checkpoint.contents.logicalShape(of: info, module: tensor.module), tensor.shape, named: tensor.name,
      checkpoint)
    guard tensor.canHaveBias else { return }
    guard let bias = checkpoint.tensor(named: tensor.biasName) else {
      guard tensor.slot.hasBias else { return }
      throw FormatError(checkpoint.path, .missing("tensor '\(tensor.biasName)'"))
    }
    try require(bias.shape, [tensor.shape[0]], named: tensor.biasName, checkpoint)
  }

  private func require(
    _ found: [Int], _ expected: [Int], named name: String, _ checkpoint: Checkpoint
  ) throws(FormatError) {
    guard found != expected else { return }
    throw FormatError(checkpoint.path, at: "tensor '\(name)'", .shape(expected: expected, found: found))
  }
}

extension LayerDescription.Entry {
  fileprivate var role: ModelTensor.Role {
    if isRouter { return .router }
    return group.map { .linear($0) } ?? ownNorm.map { .norm($0) } ?? .vector
  }
}

extension CheckpointContents {
  /// The shape of a module's weight, unpacked.
  package func logicalShape(of weight: TensorInfo, module: String) -> [Int] {
    guard let layout = quantization[module], weight.shape.count == 2 else { return weight.shape }
    return layout.shape(ofStored: weight)
  }
}

extension Checkpoint {
  /// The checkpoint with the usual prefix before the names of its modules, except the head.
  ///
  /// - Throws: What `ModelLayout.init` throws.
  package func withUsualNames() throws -> Checkpoint {
    let layout = try ModelLayout(of: self)
    let family = layout.configuration.family
    guard layout.prefix.isEmpty, !family.prefixes[0].isEmpty else { return self }
    let (new, head) = (family.prefixes[0], layout.head.module)
    return renamingTensors { name in
      let isHead = name == head || name.hasPrefix(head + ".")
      return isHead ? name : new + name
    }
  }
}

extension ModelLayout {
  /// Whether a module is a linear of a layer that may have few bits, or an adapter.
  package func isLayerLinear(_ module: String) -> Bool {
    guard let entry = entry(of: module) else { return false }
    return entry.group != nil && entry.slot.isQuantizable
  }

  /// Whether a module chooses the experts of a token.
  package func isRouter(_ module: String) -> Bool { entry(of: module)?.isRouter == true }

  /// The entry of a module in the description of its layer; nil if no layer has the module.
  private func entry(of module: String) -> LayerDescription.Entry? {
    let start = "\(prefix)\(family.layers.module)."
    guard module.hasPrefix(start) else { return nil }
    let rest = module.dropFirst(start.count)
    guard let dot = rest.firstIndex(of: "."), let index = Int(rest[..<dot]),
      (0..<configuration.layerCount).contains(index), "\(index)" == rest[..<dot]
    else { return nil }
    return description.layers[index].entry(of: String(rest[rest.index(after: dot)...]))
  }
}
