/// Layers whose heads differ, and inputs beside the stream.
extension GGUFOwnKeys {
  /// The divisor of a frequency that stops the pair.
  static let stoppingDivisor: Float = 1e30

  /// The keys of Gemma 4 without experts.
  static let gemma4 = GGUFOwnKeys(
    names: [
      Gemma4Names.windowedKeyLength, Gemma4Names.windowedValueLength, Gemma4Names.windowedTurnedCount,
      Gemma4Names.sharingCount, Gemma4Names.inputWidth, GGUFKeyNames.keyValueHeadCount,
    ],
    replaced: ["rope_theta", "rope_local_base_freq"],
    write: { configuration in
      let shapes = configuration.layerShapes
      let global = shapes.first { $0.attention.window == nil }?.attention.headSize ?? configuration.headSize
      let headCounts = shapes.map(\.attention.keyValueHeadCount)
      let widths = configuration.feedForwardWidths
      let inputs = configuration.description.layerInputs
      return [
        GGUFExportMember(GGUFKeyNames.keyLength, size: global),
        GGUFExportMember(GGUFKeyNames.valueLength, size: global),
        GGUFExportMember(Gemma4Names.windowedKeyLength, size: configuration.headSize),
        GGUFExportMember(Gemma4Names.windowedValueLength, size: configuration.headSize),
        GGUFExportMember(Gemma4Names.windowedTurnedCount, size: configuration.headSize),
        Set(headCounts).count == 1
          ? GGUFExportMember(GGUFKeyNames.keyValueHeadCount, size: headCounts[0])
          : GGUFExportMember(GGUFKeyNames.keyValueHeadCount, sizes: headCounts),
        Set(widths).count == 1
          ? GGUFExportMember(GGUFKeyNames.feedForwardLength, size: widths[0])
          : GGUFExportMember(GGUFKeyNames.feedForwardLength, sizes: widths),
        GGUFExportMember(Gemma4Names.sharingCount, size: shapes.count { $0.attention.borrowsKeys }),
        GGUFExportMember(
          Gemma4Names.inputWidth, size: inputs.map { $0.totalWidth / configuration.layerCount } ?? 0),
      ]
    },
    read: { reader throws(FormatError) in
      try reader.gemma4Layers() + reader.gemma4Rotary() + reader.gemma4Inputs()
    },
    check: { $0.gemma4Refusal })

  /// The keys of Gemma 4.
  fileprivate enum Gemma4Names {
    static let windowedKeyLength = "attention.key_length_swa"
    static let windowedValueLength = "attention.value_length_swa"
    static let windowedTurnedCount = "rope.dimension_count_swa"
    static let sharingCount = "attention.shared_kv_layers"
    static let inputWidth = "embedding_length_per_layer_input"
  }
}

extension GGUFModelReader {
  /// Whether each layer has a window.
  private func windowedLayers() throws(FormatError) -> [Bool] {
    let name = key(GGUFKeyNames.windowList)
    guard let list = try keys.bools(name), list.count == sizes.layerCount else {
      throw keys.error(name, .malformed("must be a list of \(sizes.layerCount) truth values"))
    }
    return list
  }

  /// The heads, the widths of the feed-forward parts, and the layers that share keys and values.
  fileprivate func gemma4Layers() throws(FormatError) -> [JSONValue.Member] {
    typealias Names = GGUFOwnKeys.Gemma4Names
    let windowed = try windowedLayers()
    let headSize = try keys.size(key(Names.windowedKeyLength))
    for name in [Names.windowedValueLength, Names.windowedTurnedCount] {
      guard let other = try keys.optionalSize(key(name)), other != headSize else { continue }
      throw keys.error(key(name), .unsupported("is \(other), but the width of a head is \(headSize)"))
    }
    let counts = try sizes(GGUFKeyNames.keyValueHeadCount)
    let (local, global) = (try count(counts, in: windowed, true), try count(counts, in: windowed, false))
    let widths = try sizes(GGUFKeyNames.feedForwardLength)
    let sharing = try keys.integer(key(Names.sharingCount)) ?? 0
    guard (0..<sizes.layerCount).contains(sharing) else {
      throw keys.error(key(Names.sharingCount), .malformed("must be less than the number of layers"))
    }
    let isDoubleWide = widths.last != widths.first
    let first = sizes.layerCount - sharing
    guard widths.indices.allSatisfy({ widths[$0] == (isDoubleWide && $0 >= first ? 2 : 1) * widths[0] })
    else {
      throw keys.error(
        key(GGUFKeyNames.feedForwardLength),
        .unsupported("must be the same in all layers, or twice as wide in those that share keys"))
    }
    // Layers that share keys have no linear of values; of the others, those without a window may lack it.
    let lacksValues = (0..<first).contains {
      tensorShapes["\(family.layers.gguf).\($0).attn_v.weight"] == nil
    }
    return [
      JSONValue.Member("attention_k_eq_v", .bool(lacksValues)),
      JSONValue.Member("enable_moe_block", .bool(false)),
      JSONValue.Member("global_head_dim", .integer(sizes.headSize)),
      JSONValue.Member("head_dim", .integer(headSize)),
      JSONValue.Member("num_global_key_value_heads", global == local ? .null : .integer(global)),
      JSONValue.Member("num_key_value_heads", .integer(local)),
      JSONValue.Member("num_kv_shared_layers", .integer(sharing)),
      JSONValue.Member("use_double_wide_mlp", .bool(isDoubleWide)),
    ]
  }

  /// The number that the layers with a window, or those without one, have in common.
  private func count(
    _ counts: [Int], in windowed: [Bool], _ isWindowed: Bool
  ) throws(FormatError) -> Int {
    let own = Set(counts.indices.filter { windowed[$0] == isWindowed }.map { counts[$0] })
    guard own.count <= 1, !own.contains(0) else {
      throw keys.error(
        key(GGUFKeyNames.keyValueHeadCount), .unsupported("differs between layers of the same kind"))
    }
    return own.first ?? sizes.keyValueHeadCount
  }

  /// How the heads of both kinds of layers turn.
  fileprivate func gemma4Rotary() throws(FormatError) -> [JSONValue.Member] {
    let base = try number(GGUFKeyNames.base)
    let windowedBase = try keys.number(key(GGUFKeyNames.windowedBase)) ?? .number("10000.0")
    let local = JSONValue.object([
      JSONValue.Member("rope_theta", windowedBase), JSONValue.Member("rope_type", .string("default")),
    ])
    let global = JSONValue.object(try gemma4Share() + [JSONValue.Member("rope_theta", base)])
    return [
      JSONValue.Member(
        "rope_parameters",
        .object([
          JSONValue.Member("full_attention", global), JSONValue.Member("sliding_attention", local),
        ]))
    ]
  }

  /// The pairs that turn in layers without a window: a number of the first ones.
  private func gemma4Share() throws(FormatError) -> [JSONValue.Member] {
    guard let found = divisors[GGUFTensorNames.divisors] else {
      throw FormatError(keys.path, .missing("tensor '\(GGUFTensorNames.divisors)'"))
    }
    let turning = found.prefix { $0 < GGUFOwnKeys.stoppingDivisor }
    let factor = turning.first ?? 1
    guard found.count == sizes.headSize / 2, factor > 0, turning.allSatisfy({ $0 == factor }),
      found.dropFirst(turning.count).allSatisfy({ $0 >= GGUFOwnKeys.stoppingDivisor })
    else {
      throw FormatError(
        keys.path, at: "tensor '\(GGUFTensorNames.divisors)'",
        .unsupported("must have one factor for the first pairs of a head, and stop the others"))
    }
    if turning.count == found.count, factor == 1 {
      return [JSONValue.Member("rope_type", .string("default"))]
    }
    let scale = factor == 1 ? [] : [JSONValue.Member("factor", .number(factor.description))]
    let share = Double(turning.count) / Double(found.count)
    let scaling = ProportionalScaling(share: share)
    return scale + [
      JSONValue.Member(
        "partial_rotary_factor",
        .double(scaling.pairCount(headSize: sizes.headSize) == turning.count ? share : share.nextUp)),
      JSONValue.Member("rope_type", .string("proportional")),
    ]
  }

  /// The inputs of the layers beside the stream.
  fileprivate func gemma4Inputs() throws(FormatError) -> [JSONValue.Member] {
    let name = key(GGUFOwnKeys.Gemma4Names.inputWidth)
    let width = try keys.integer(name) ?? 0
    guard width != 0 else { return [JSONValue.Member("hidden_size_per_layer_input", .integer(0))] }
    let table = "per_layer_token_embd.weight"
    guard let tokenCount = tensorShapes[table]?.first else {
      throw FormatError(keys.path, .missing("tensor '\(table)'"))
    }
    return [
      JSONValue.Member("hidden_size_per_layer_input", .integer(try keys.size(name))),
      JSONValue.Member("vocab_size_per_layer_input", .integer(tokenCount)),
    ]
  }
}

extension ModelConfiguration {
  /// The width inside the feed-forward part of each layer.
  fileprivate var feedForwardWidths: [Int] {
    description.layers.map { layer in
      layer.entries.first { $0.group == .down }?.slot.shape[1] ?? intermediateSize
    }
  }

  /// What llama.cpp computes otherwise of Gemma 4.
  fileprivate var gemma4Refusal: GGUFOwnKeys.Refusal? {
    let shapes = layerShapes
    if description.layers.contains(where: { $0.experts != nil }) {
      return ("enable_moe_block", "reads other tensors of experts than are written")
    }
    if let inputs = description.layerInputs, inputs.table.shape[0] != vocabularySize {
      return ("vocab_size_per_layer_input", "has inputs of layers for each of the \(vocabularySize) tokens")
    }
    guard let first = shapes.firstIndex(where: { $0.attention.borrowsKeys }) else { return nil }
    // llama.cpp takes the keys of the last two layers that have some, without looking for their kinds.
    let isWindowed = shapes.map { $0.attention.window != nil }
    guard first >= 2, !isWindowed[first - 1], isWindowed[first - 2] else {
      return (
        "num_kv_shared_layers",
        "takes the keys of layers with a window from layer \(first - 2), and the others from layer \(first - 1)"
      )
    }
    return nil
  }
}
