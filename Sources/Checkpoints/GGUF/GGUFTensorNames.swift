/// The names in Hugging Face's checkpoints of the tensors in a GGUF file of a family.
struct GGUFTensorNames {
  /// The embedding, which every model has.
  static let embedding = "token_embd.weight"
  /// The output head, unless it is the embedding.
  static let head = "output.weight"
  /// The divisors of the frequencies, which become a part of the configuration.
  static let divisors = "rope_freqs.weight"
  /// The divisors of the frequencies in long sequences.
  static let longDivisors = "rope_factors_long.weight"
  /// The divisors of the frequencies in short sequences.
  static let shortDivisors = "rope_factors_short.weight"
  /// The tensors that become a part of the configuration.
  static let rotary: Set = [divisors, longDivisors, shortDivisors]

  private let family: ModelFamily
  private let description: ModelDescription
  private var layerCount: Int { description.layers.count }
  /// The tensors outside the layers, the head last.
  private let others: [Place]

  /// A tensor outside the layers.
  private struct Place {
    let module: String
    let slot: TensorSlot
    var norm: NormDescription?
  }

  /// Collects the names of a model.
  init(_ configuration: ModelConfiguration) {
    family = configuration.family
    description = configuration.description
    let prefix = family.prefixes[0]
    func place(_ slot: TensorSlot, _ norm: NormDescription? = nil) -> Place {
      Place(module: prefix + slot.module, slot: slot, norm: norm)
    }
    let norm = description.finalNorm
    var places = [place(description.embedding), place(norm.slot, norm)]
    if let inputs = description.layerInputs {
      places += [place(inputs.table), place(inputs.projection), place(inputs.norm.slot, inputs.norm)]
    }
    let head = description.head
    others = places + [Place(module: family.headPrefixes[0] + head.module, slot: head)]
  }

  /// The tensors that every model has, except the head.
  ///
  /// Named one by one, because a file may claim any number of layers.
  var required: some Sequence<String> {
    let (family, layers) = (family, description.layers)
    let others = others.dropLast().map(\.slot.ggufName)
    return (-1..<layers.count).lazy.flatMap { layer in
      layer < 0
        ? others
        : layers[layer].entries.filter { ($0.slot.ggufForm.stackIndex ?? 0) == 0 }.map {
          "\(family.layers.gguf).\(layer).\($0.slot.ggufName)"
        }
    }
  }

  /// The place of a GGUF tensor, or of a part of one, in a checkpoint.
  struct Match {
    /// The module in a checkpoint, `model.layers.0.mlp.up_proj`.
    let module: String
    /// Whether it is `.weight` or `.bias`.
    let ending: ModuleTensor
    /// Its description.
    let slot: TensorSlot
    /// What was done to the values in the file.
    let transform: GGUFTransform

    /// The name in a checkpoint.
    var name: String { ending == .weight ? module + slot.ending : ending.name(of: module) }
    /// Whether the file has it stacked with those of other experts.
    var isStacked: Bool { slot.ggufForm.stackIndex != nil }
  }

  /// The matches of a GGUF name: none if no such model has the tensor, several for a stack of experts.
  func matches(_ name: String) -> [Match] {
    for place in others {
      let match = match(name, place.slot, place.norm, module: place.module, isLinear: false)
      if let match { return [match] }
    }
    let start = family.layers.gguf + "."
    guard name.hasPrefix(start) else { return [] }
    let rest = name.dropFirst(start.count)
    guard let dot = rest.firstIndex(of: "."), let layer = Int(rest[..<dot]), "\(layer)" == rest[..<dot],
      (0..<layerCount).contains(layer)
    else { return [] }
    let inLayer = String(rest[rest.index(after: dot)...])
    let module = "\(family.prefixes[0])\(family.layers.module).\(layer)."
    return description.layers[layer].entries.compactMap { entry in
      match(
        inLayer, entry.slot, entry.ownNorm, module: module + entry.slot.module,
        isLinear: entry.group != nil)
    }
  }

  private func match(
    _ name: String, _ slot: TensorSlot, _ norm: NormDescription?, module: String, isLinear: Bool
  ) -> Match? {
    guard name.hasPrefix(slot.gguf) else { return nil }
    let ending = name.dropFirst(slot.gguf.count)
    if ending == slot.ggufForm.ending {
      return Match(module: module, ending: .weight, slot: slot, transform: GGUFTransform(norm, slot))
    }
    guard ending == ModuleTensor.bias.rawValue, isLinear || slot.hasBias else { return nil }
    return Match(module: module, ending: .bias, slot: slot, transform: .none)
  }
}

extension TensorSlot {
  /// The name of the weight in a GGUF file; in a layer, relative to the layer.
  fileprivate var ggufName: String { gguf + ggufForm.ending }
}
