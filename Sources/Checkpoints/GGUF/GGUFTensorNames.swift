/// The names in Hugging Face's checkpoints of the tensors in a GGUF file of a family.
struct GGUFTensorNames {
  /// The factors of the rotary frequencies, which become a part of the configuration.
  static let frequencies = "rope_freqs.weight"
  private let family: ModelFamily
  private let description: ModelDescription
  private var layerCount: Int { description.layers.count }
  /// The modules outside the layers, by their names in GGUF.
  private let modules: [String: String]
  /// The tensors of a layer, by their names in GGUF.
  private let entries: [String: LayerDescription.Entry]

  /// Collects the names of a model.
  init(_ configuration: ModelConfiguration) {
    family = configuration.family
    description = configuration.description
    let prefix = family.prefixes[0]
    modules = [
      description.embedding.gguf: prefix + description.embedding.module,
      description.finalNorm.slot.gguf: prefix + description.finalNorm.slot.module,
      description.head.gguf: family.headPrefixes[0] + description.head.module,
    ]
    entries = Dictionary(
      description.layers.flatMap(\.entries).map { ($0.slot.gguf, $0) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The name of the embedding.
  var embedding: String { description.embedding.gguf + ".weight" }

  /// The module of the output head in a checkpoint.
  var head: String { family.headPrefixes[0] + description.head.module }

  /// The linears of a group, relative to the layer.
  func linears(of group: LinearGroupKind) -> [String] {
    entries.values.filter { $0.group == group }.map(\.slot.module)
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
  struct Match: Equatable {
    /// The module in a checkpoint, `model.layers.0.mlp.up_proj`.
    let module: String
    /// Whether it is `.weight` or `.bias`.
    let ending: ModuleTensor
    /// The dimension of the rows whose order differs between the two formats, or nil.
    let pairedRows: ModelAxis.Kind?

    /// The name in a checkpoint.
    var name: String { ending.name(of: module) }
  }

  /// The match of a GGUF name, or nil when no such model has the tensor.
  func match(_ name: String) -> Match? {
    let words = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let last = words.last, let ending = ModuleTensor(rawValue: "." + last),
      ending == .weight || ending == .bias
    else { return nil }
    if words.count == 2, let module = modules[words[0]], ending == .weight {
      return Match(module: module, ending: ending, pairedRows: nil)
    }
    guard words.count == 4, words[0] == family.layers.gguf, let layer = Int(words[1]),
      "\(layer)" == words[1], (0..<layerCount).contains(layer), let entry = entries[words[2]],
      ending == .weight || entry.group != nil
    else { return nil }
    return Match(
      module: "\(family.prefixes[0])\(family.layers.module).\(layer).\(entry.slot.module)", ending: ending,
      pairedRows: entry.slot.rowOrder == .rotaryPairs ? entry.slot.axes[0].kind : nil)
  }
}
