/// Layers that pass the tokens through a state instead of attention.
extension GGUFOwnKeys {
  /// The gated delta nets of Qwen 3.5, in all but every nth layer.
  static let deltaNets = GGUFOwnKeys(
    names: [
      DeltaNetNames.tapCount, DeltaNetNames.headSize, DeltaNetNames.keyHeadCount,
      DeltaNetNames.valueHeadCount, DeltaNetNames.width, DeltaNetNames.interval, DeltaNetNames.sections,
    ],
    replaced: ["rope_theta", "partial_rotary_factor"],
    write: { configuration in
      guard let net = configuration.deltaNets.lazy.compactMap(\.self).first else { return [] }
      let sections = sections(turnedCount: configuration.globalRotary?.turnedCount ?? 0)
      return [
        GGUFExportMember(DeltaNetNames.tapCount, size: net.tapCount),
        GGUFExportMember(DeltaNetNames.headSize, size: net.keyHeadSize),
        GGUFExportMember(DeltaNetNames.keyHeadCount, size: net.keyHeadCount),
        GGUFExportMember(DeltaNetNames.valueHeadCount, size: net.valueHeadCount),
        GGUFExportMember(DeltaNetNames.width, size: net.valueWidth),
        GGUFExportMember(DeltaNetNames.interval, size: configuration.attentionInterval ?? 1),
        GGUFExportMember(DeltaNetNames.sections, sizes: sections + [0]),
      ]
    },
    read: { reader throws(FormatError) in
      let headSize = try reader.keys.size(reader.key(DeltaNetNames.headSize))
      let heads = try reader.keys.size(reader.key(DeltaNetNames.valueHeadCount))
      let width = try reader.keys.size(reader.key(DeltaNetNames.width))
      guard width == heads * headSize else {
        throw reader.keys.error(
          reader.key(DeltaNetNames.width),
          .malformed("\(width) is not the width of \(heads) heads of \(headSize)"))
      }
      let turned = reader.sizes.turnedCount
      let rotary: [JSONValue.Member] = [
        JSONValue.Member("mrope_interleaved", .bool(true)),
        JSONValue.Member("mrope_section", .array(sections(turnedCount: turned).map { .integer($0) })),
        JSONValue.Member("partial_rotary_factor", reader.sizes.turnedShare),
        JSONValue.Member("rope_theta", try reader.number(GGUFKeyNames.base)),
        JSONValue.Member("rope_type", .string("default")),
      ]
      let interval = try reader.keys.optionalSize(reader.key(DeltaNetNames.interval)) ?? 4
      return [
        try reader.member("linear_conv_kernel_dim", size: DeltaNetNames.tapCount),
        JSONValue.Member("linear_key_head_dim", .integer(headSize)),
        JSONValue.Member("linear_value_head_dim", .integer(headSize)),
        try reader.member("linear_num_key_heads", size: DeltaNetNames.keyHeadCount),
        JSONValue.Member("linear_num_value_heads", .integer(heads)),
        JSONValue.Member("full_attention_interval", .integer(interval)),
        JSONValue.Member(
          "layer_types",
          .array(
            (0..<reader.sizes.layerCount).map {
              .string(($0 + 1) % interval == 0 ? "full_attention" : "linear_attention")
            })),
        JSONValue.Member("rope_parameters", .object(rotary)),
      ]
    },
    check: { configuration in
      guard configuration.attentionInterval != nil else {
        return ("layer_types", "has attention in every nth layer")
      }
      for case let net? in configuration.deltaNets where net.keyHeadSize != net.valueHeadSize {
        return ("linear_value_head_dim", "has heads of values as wide as those of keys")
      }
      return nil
    })

  /// The short convolutions of LFM2, in the layers without key and value heads.
  static let shortConvolutions = GGUFOwnKeys(
    names: [tapCount, GGUFKeyNames.keyValueHeadCount],
    write: { configuration in
      let convolutions = configuration.shortConvolutions
      return [
        GGUFExportMember(tapCount, size: convolutions.lazy.compactMap(\.self).first?.tapCount ?? 3),
        GGUFExportMember(
          GGUFKeyNames.keyValueHeadCount,
          sizes: convolutions.map { $0 == nil ? configuration.keyValueHeadCount : 0 }),
      ]
    },
    read: { reader throws(FormatError) in
      let counts = try reader.sizes(GGUFKeyNames.keyValueHeadCount)
      let stated = reader.sizes.keyValueHeadCount
      guard counts.allSatisfy({ $0 == 0 || $0 == stated }) else {
        throw reader.keys.error(
          reader.key(GGUFKeyNames.keyValueHeadCount),
          .unsupported("layers with different numbers of key and value heads are not supported"))
      }
      return [
        try reader.member("conv_L_cache", size: tapCount),
        JSONValue.Member("conv_bias", .bool(false)),
        JSONValue.Member("block_auto_adjust_ff_dim", .bool(false)),
        JSONValue.Member(
          "full_attn_idxs", .array(counts.indices.filter { counts[$0] != 0 }.map { .integer($0) })),
      ]
    },
    check: { configuration in
      let hasBias = configuration.shortConvolutions.contains { $0?.bias != nil }
      return hasBias ? ("conv_bias", "has convolutions without a bias") : nil
    })

  private static let tapCount = "shortconv.l_cache"

  /// The keys of delta nets.
  private enum DeltaNetNames {
    static let tapCount = "ssm.conv_kernel"
    static let headSize = "ssm.state_size"
    static let keyHeadCount = "ssm.group_count"
    static let valueHeadCount = "ssm.time_step_rank"
    static let width = "ssm.inner_size"
    static let interval = "full_attention_interval"
    static let sections = "rope.dimension_sections"
  }

  /// The pairs of a head that turn with the time, the height and the width of an image, which take turns.
  ///
  /// In a text all three are the position.
  private static func sections(turnedCount: Int) -> [Int] {
    let pairCount = turnedCount / 2
    return [(pairCount + 2) / 3, (pairCount + 1) / 3, pairCount / 3]
  }
}

extension ModelConfiguration {
  /// The recurrence of each layer; nil where it has attention.
  private var recurrences: [RecurrenceDescription?] {
    description.layers.map { layer in
      for case .recurrence(let recurrence) in layer.parts.lazy.flatMap(\.operations) { return recurrence }
      return nil
    }
  }

  /// The delta net of each layer; nil where it has none.
  fileprivate var deltaNets: [DeltaNetDescription?] {
    recurrences.map { if case .deltaNet(let net) = $0 { net } else { nil } }
  }

  /// The short convolution of each layer; nil where it has none.
  fileprivate var shortConvolutions: [ShortConvolutionDescription?] {
    recurrences.map { if case .shortConvolution(let short) = $0 { short } else { nil } }
  }

  /// The `n` such that every nth layer, and no other, has attention; nil without one.
  fileprivate var attentionInterval: Int? {
    let hasState = recurrences.map { $0 != nil }
    // Without attention any number beyond that of the layers will do.
    let interval = hasState.firstIndex(of: false).map { $0 + 1 } ?? hasState.count + 1
    return hasState.indices.allSatisfy { hasState[$0] == (($0 + 1) % interval != 0) } ? interval : nil
  }
}
