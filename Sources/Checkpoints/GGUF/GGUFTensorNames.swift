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
  /// The tensors outside the layers, by their names in GGUF.
  private let others: [String: Place]
  /// The tensors of a layer, by their names in GGUF.
  private let entries: [String: LayerDescription.Entry]

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
    let norm = description.finalNorm
    let places = [
      Place(module: prefix + description.embedding.module, slot: description.embedding),
      Place(module: prefix + norm.slot.module, slot: norm.slot, norm: norm),
      Place(module: family.headPrefixes[0] + description.head.module, slot: description.head),
    ]
    others = Dictionary(places.map { ($0.slot.gguf, $0) }, uniquingKeysWith: { first, _ in first })
    entries = Dictionary(
      description.layers.flatMap(\.entries).map { ($0.slot.gguf, $0) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The tensors that every model has, except the head.
  ///
  /// Named one by one, because a file may claim any number of layers.
  var required: some Sequence<String> {
    let parts = entries.keys.sorted(by: precedes)
    let (family, description, layerCount) = (family, description, layerCount)
    return (-1...layerCount).lazy.flatMap { layer in
      switch layer {
      case -1: [description.embedding.gguf + ".weight"]
      case layerCount: [description.finalNorm.slot.gguf + ".weight"]
      default: parts.map { "\(family.layers.gguf).\(layer).\($0).weight" }
      }
    }
  }

  /// The place of a GGUF tensor in a checkpoint.
  struct Match {
    /// The module in a checkpoint, `model.layers.0.mlp.up_proj`.
    let module: String
    /// Whether it is `.weight` or `.bias`.
    let ending: ModuleTensor
    /// Its description.
    let slot: TensorSlot
    /// Added to the weights of a norm in the file, but not in a checkpoint.
    let offset: Float

    /// The name in a checkpoint.
    var name: String { ending == .weight ? module + slot.ending : ending.name(of: module) }
  }

  /// The match of a GGUF name, or nil when no such model has the tensor.
  func match(_ name: String) -> Match? {
    let words = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let last = words.last, let ending = ModuleTensor(rawValue: "." + last),
      ending == .weight || ending == .bias
    else { return nil }
    if words.count == 2, let place = others[words[0]] {
      return match(place.slot, place.norm, module: place.module, ending, isLinear: false)
    }
    guard words.count == 4, words[0] == family.layers.gguf, let layer = Int(words[1]),
      "\(layer)" == words[1], (0..<layerCount).contains(layer), let entry = entries[words[2]]
    else { return nil }
    return match(
      entry.slot, entry.ownNorm,
      module: "\(family.prefixes[0])\(family.layers.module).\(layer).\(entry.slot.module)", ending,
      isLinear: entry.group != nil)
  }

  private func match(
    _ slot: TensorSlot, _ norm: NormDescription?, module: String, _ ending: ModuleTensor, isLinear: Bool
  ) -> Match? {
    guard ending == .weight || isLinear || slot.hasBias else { return nil }
    return Match(
      module: module, ending: ending, slot: slot, offset: ending == .weight ? norm?.offset ?? 0 : 0)
  }
}
