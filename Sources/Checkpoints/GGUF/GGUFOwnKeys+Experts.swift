import Kernels

extension GGUFOwnKeys {
  private static let usedCount = "expert_used_count"
  private static let width = "expert_feed_forward_length"
  private static let sharedWidth = "expert_shared_feed_forward_length"

  /// The names of the experts' sizes in `config.json`.
  struct ExpertNames: Sendable {
    /// The number of experts.
    var count = "num_experts"
    /// The width inside an expert; nil if it is that of any feed-forward part.
    var width: String?
    /// The width inside the network that every token uses; nil without one.
    var sharedWidth: String?
    /// Members that follow from the architecture.
    var fixed: [JSONValue.Member] = []
    /// The bound of the gates that llama.cpp has; nil for gates without one.
    var gateLimit: Float?
  }

  /// The numbers and widths of experts, which every layer has.
  static func experts(_ names: ExpertNames) -> GGUFOwnKeys {
    GGUFOwnKeys(
      names: [GGUFKeyNames.expertCount, usedCount, width, sharedWidth],
      write: { configuration in
        guard let experts = configuration.description.layers.lazy.compactMap(\.experts).first else {
          return []
        }
        var members = [
          GGUFExportMember(GGUFKeyNames.expertCount, size: experts.experts.count),
          GGUFExportMember(usedCount, size: experts.chosenCount),
        ]
        if names.width != nil {
          members.append(GGUFExportMember(width, size: experts.experts[0].gate.shape[0]))
        }
        if let shared = experts.shared {
          members.append(GGUFExportMember(sharedWidth, size: shared.expert.gate.shape[0]))
        }
        return members
      },
      read: { reader throws(FormatError) in
        var members = [
          try reader.member(names.count, size: GGUFKeyNames.expertCount),
          try reader.member("num_experts_per_tok", size: usedCount),
        ]
        if let name = names.width { members.append(try reader.member(name, size: width)) }
        if let name = names.sharedWidth { members.append(try reader.member(name, size: sharedWidth)) }
        return members + names.fixed
      },
      check: { configuration in
        for layer in configuration.description.layers {
          guard let experts = layer.experts else { return ("mlp_only_layers", "has experts in every layer") }
          guard experts.weighting == .amongChosen else {
            return ("norm_topk_prob", "always makes the weights of a token's experts add up to 1")
          }
          if let limit = names.gateLimit, experts.activation != .clampedSiLU(limit: limit) {
            return ("swiglu_limit", "always takes \(limit)")
          }
        }
        return nil
      })
  }
}

extension GGUFOwnKeys {
  /// No keys: attention has to have biases.
  static let requiredBiases = GGUFOwnKeys(
    names: [], write: { _ in [] }, read: { _ in [] },
    check: { configuration in
      let linears = configuration.description.layers.lazy.flatMap(\.entries).filter {
        $0.group == .queriesKeysValues || $0.group == .attentionOutput
      }
      return linears.contains { !$0.slot.hasBias } ? ("attention_bias", "needs biases of attention") : nil
    })
}
