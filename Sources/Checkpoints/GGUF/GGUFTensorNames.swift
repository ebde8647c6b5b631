/// What the tensors of architecture `llama` are called in Hugging Face's checkpoints.
enum GGUFTensorNames {
  /// The factors of the rotary frequencies, which become a part of the configuration.
  static let frequencies = "rope_freqs.weight"
  static let embedding = "token_embd.weight"
  static let head = "output.weight"

  private static let modules = [
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
  ]
  private static let parts = [
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
  ]
  private static let partsWithoutBias: Set = ["attn_norm", "ffn_norm"]

  /// The tensors that every model has, the head aside; named one by one, since a file may claim any number of layers.
  static func required(layerCount: Int) -> some Sequence<String> {
    let parts = parts.keys.sorted(by: precedes)
    return (-1...layerCount).lazy.flatMap { layer in
      switch layer {
      case -1: [embedding]
      case layerCount: ["output_norm.weight"]
      default: parts.map { "blk.\(layer).\($0).weight" }
      }
    }
  }

  /// A name in both worlds.
  struct Match: Equatable {
    /// The module in a checkpoint, `model.layers.0.mlp.up_proj`.
    let module: String
    /// Whether it is `.weight` or `.bias`.
    let ending: ModuleTensor
    /// The last part of the module's name in GGUF, `ffn_up`.
    let part: String

    /// The name in a checkpoint.
    var name: String { ending.name(of: module) }
  }

  /// What a tensor is called in a checkpoint, or nil when no such model has it.
  static func match(_ name: String, layerCount: Int) -> Match? {
    let words = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let last = words.last, let ending = ModuleTensor(rawValue: "." + last),
      ending == .weight || ending == .bias
    else { return nil }
    if words.count == 2, let module = modules[words[0]], ending == .weight {
      return Match(module: module, ending: ending, part: words[0])
    }
    guard words.count == 4, words[0] == "blk", let layer = Int(words[1]), "\(layer)" == words[1],
      (0..<layerCount).contains(layer), let part = parts[words[2]],
      ending == .weight || !partsWithoutBias.contains(words[2])
    else { return nil }
    return Match(module: "model.layers.\(layer).\(part)", ending: ending, part: words[2])
  }
}
