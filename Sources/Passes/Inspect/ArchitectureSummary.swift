package import Checkpoints

/// The description of a model in `config.json`, for any architecture.
package struct ArchitectureSummary: Sendable, Equatable {
  /// The known keys that are present, in a fixed order: `architecture`, `model_type` and the sizes.
  package let members: [JSONValue.Member]

  private static let sizeKeys = [
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "head_dim",
    "vocab_size", "max_position_embeddings", "num_local_experts", "num_experts", "tie_word_embeddings",
  ]

  /// Reads the configuration of a checkpoint; nil when there is none.
  ///
  /// - Throws: `FormatError` when it is not JSON.
  package init?(of checkpoint: Checkpoint) throws {
    guard let configuration = try checkpoint.json(named: "config.json") else { return nil }
    self.init(configuration)
  }

  private init(_ configuration: JSONValue) {
    var members: [JSONValue.Member] = []
    if let name = configuration["architectures"]?.array?.first?.string {
      members.append(JSONValue.Member("architecture", .string(name)))
    }
    if let type = configuration["model_type"]?.string {
      members.append(JSONValue.Member("model_type", .string(type)))
    }
    for key in Self.sizeKeys {
      // Multimodal models store the sizes of their language part one level below.
      guard let value = configuration[key] ?? configuration["text_config"]?[key] else { continue }
      if value.integer != nil || value.bool != nil { members.append(JSONValue.Member(key, value)) }
    }
    self.members = members
  }

  private func size(_ key: String) -> Int? { members.first { $0.key == key }?.value.integer }

  private func text(_ key: String) -> String? { members.first { $0.key == key }?.value.string }

  /// The model as one sentence.
  package var text: String {
    let name = text("architecture") ?? text("model_type") ?? "unnamed"
    var parts = [
      size("num_hidden_layers").map { "\($0) layers" }, size("hidden_size").map { "hidden size \($0)" },
      size("intermediate_size").map { "feed-forward size \($0)" }, heads,
      (size("num_local_experts") ?? size("num_experts")).map { "\($0) experts" },
      size("vocab_size").map { "vocabulary \($0.formattedCount)" },
      size("max_position_embeddings").map { "context \($0.formattedCount)" },
    ].compactMap(\.self)
    if members.contains(JSONValue.Member("tie_word_embeddings", .bool(true))) {
      parts.append("tied embeddings")
    }
    return parts.isEmpty ? name : "\(name): \(parts.joined(separator: ", "))"
  }

  private var heads: String? {
    guard let heads = size("num_attention_heads") else { return nil }
    var text = "\(heads) heads"
    if let headSize = size("head_dim") { text += " of \(headSize)" }
    if let shared = size("num_key_value_heads"), shared != heads {
      text += " (\(shared) for keys and values)"
    }
    return text
  }
}
