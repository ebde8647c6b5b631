import Checkpoints
import Kernels

extension QuantizeOptions {
  static let keys = [
    "method", "bits", "group_size", "targets", "ignore", "tables", "text", "samples", "sampled", "length",
    "seed", "damping", "activation_order", "refit", "sweeps", "propagation", "overrides", "bits_per_weight",
    "importance", "importance_output", "layer_epochs", "layer_batch", "layer_learning_rate",
    "layer_code_rate", "products",
  ]

  /// Reads the options of a recipe's `quantize`.
  init(reading reader: RecipeReader) throws {
    let map = try reader.map(keys: Self.keys)
    self.init()
    method = try map.value("method", default: method) { try $0.choice() }
    bits = try map.value("bits", default: bits) { try $0.integer(among: Self.allowedBits) }
    groupSize = try map.value("group_size", default: groupSize) {
      try $0.integer(among: Self.allowedGroupSizes)
    }
    targets = try map.optional("targets") { try $0.targets() }
    ignore = try map.value("ignore", default: ignore) { try $0.patterns() }
    tables = try map.value("tables", default: tables) { try $0.tableType() }
    texts = try map.optional("text") { try $0.texts() } ?? []
    samples = try map.value("samples", default: samples) { try $0.integer(in: 1...1_000_000) }
    sampled = try map.sampled(of: samples, texts: texts, default: sampled)
    length = try map.value("length", default: length) { try $0.integer(in: 2...CalibrateOptions.lengthLimit) }
    seed = try map.value("seed", default: seed) { try $0.seed() }
    damping = try map.value("damping", default: damping) { try $0.number(.aboveUpTo(0, 1)) }
    activationOrder = try map.value("activation_order", default: activationOrder) { try $0.flag() }
    refit = try map.value("refit", default: refit) { try $0.flag() }
    sweeps = try map.value("sweeps", default: sweeps) { try $0.integer(in: 0...1000) }
    propagation = try map.value("propagation", default: propagation) { try $0.number(.within(0...1)) }
    layerEpochs = try map.value("layer_epochs", default: layerEpochs) { try $0.integer(in: 0...1000) }
    layerBatch = try map.value("layer_batch", default: layerBatch) { try $0.integer(in: 1...1_000_000) }
    layerLearningRate = try map.value("layer_learning_rate", default: layerLearningRate) {
      try $0.number(.aboveUpTo(0, 1))
    }
    layerCodeRate = try map.value("layer_code_rate", default: layerCodeRate) { try $0.number(.within(0...1)) }
    products = try map.value("products", default: products) { try $0.choice() }
    overrides = try map.value("overrides", default: overrides) {
      try $0.list(of: "overrides").map(QuantizeOverride.init)
    }
    bitsPerWeight = try map.optional("bits_per_weight") { try $0.number(.aboveUpTo(2, 8)) }
    importance = try map.optional("importance") { try $0.path() }
    importanceOutput = try map.optional("importance_output") { try $0.path() }
    try requireWindows(reader, map)
    try requireUse(reader, map)
  }

  /// Refuses a method without the windows it needs, and windows from nowhere or without use.
  private func requireWindows(_ reader: RecipeReader, _ map: RecipeMap) throws {
    let needs = keysThatNeedWindows
    switch (method, hasWindows) {
    case (.gptq, false): throw reader.failure("the method 'gptq' needs a 'text'")
    case (_, false): if let key = needs.first { throw reader.failure("'\(key)' needs a 'text'") }
    case (.nf2, true): throw reader.failure("the method 'nf2' makes no use of a 'text'")
    case (.rtn, true) where needs.isEmpty, (.hqq, true) where needs.isEmpty:
      throw reader.failure(
        "the method '\(method.rawValue)' makes no use of a 'text'" + (texts.isEmpty ? " or 'sampled'" : ""))
    default: break
    }
    guard !hasWindows || texts.isEmpty == (sampled == samples) else {
      throw reader.failure(
        texts.isEmpty
          ? "'sampled' is less than 'samples', so there must be a 'text'"
          : "'text' is of no use when 'sampled' is all windows")
    }
    try reader.requireWindows(samples - sampled, for: texts)
  }

  /// Refuses options that would have no effect.
  private func requireUse(_ reader: RecipeReader, _ map: RecipeMap) throws {
    for key in ["samples", "length", "seed", "products", "importance_output"]
    where !hasWindows && map.has(key) {
      throw reader.failure("'\(key)' is of no use without a 'text'")
    }
    if importance != nil {
      guard method == .search else {
        throw reader.failure("'importance' is of no use to the method '\(method.rawValue)'")
      }
      guard !hasWindows else {
        throw reader.failure("'importance' takes the place of a 'text', which is given")
      }
    }
    for key in ["damping", "activation_order"] where method != .gptq && map.has(key) {
      guard key != "damping" || propagation == 0 else { continue }
      throw reader.failure("'\(key)' is of no use to the method '\(method.rawValue)'")
    }
    for key in ["layer_batch", "layer_learning_rate", "layer_code_rate"]
    where layerEpochs == 0 && map.has(key) {
      throw reader.failure("'\(key)' is of no use without 'layer_epochs'")
    }
    try requireDense(reader, map)
    if bitsPerWeight != nil, map.has("bits") {
      throw reader.failure("'bits' is of no use beside 'bits_per_weight'")
    }
  }

  /// Refuses what a method that packs nothing makes no use of.
  private func requireDense(_ reader: RecipeReader, _ map: RecipeMap) throws {
    guard method == .nf2 else { return }
    for key in ["bits", "tables"] where map.has(key) {
      throw reader.failure("'\(key)' is of no use to the method 'nf2'")
    }
    if overrides.contains(where: { $0.bits != nil }) {
      throw reader.failure("'bits' of an override is of no use to the method 'nf2'")
    }
  }

  private var keysThatNeedWindows: [String] {
    [
      ("refit", refit), ("sweeps", sweeps > 0), ("propagation", propagation > 0),
      ("layer_epochs", layerEpochs > 0), ("bits_per_weight", bitsPerWeight != nil),
    ].filter(\.1).map(\.0)
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    [.init("method", .string(method.rawValue))] + bitsMembers
      + [
        .init("group_size", .integer(groupSize)),
        .init("targets", .optional(targets, JSONValue.patterns)),
        .init("ignore", .patterns(ignore)),
      ] + (method == .nf2 ? [] : [.init("tables", .string(tables.recipeWord))])
      + (overrides.isEmpty ? [] : [.init("overrides", .array(overrides.map(\.json)))])
      + (hasWindows ? statisticsMembers : []) + importanceMembers + dampingMembers
  }

  private var bitsMembers: [JSONValue.Member] {
    if method == .nf2 { return [] }
    return [bitsPerWeight.map { .init("bits_per_weight", .double($0)) } ?? .init("bits", .integer(bits))]
  }

  private var statisticsMembers: [JSONValue.Member] {
    [
      .init("text", .texts(texts)),
      .init("samples", .integer(samples)),
      .init("sampled", .integer(sampled)),
      .init("length", .integer(length)),
      .init("seed", .seed(seed)),
      .init("refit", .bool(refit)),
      .init("sweeps", .integer(sweeps)),
      .init("propagation", .double(propagation)),
      .init("products", .string(products.rawValue)),
      .init("layer_epochs", .integer(layerEpochs)),
    ] + (layerEpochs > 0 ? layerMembers : [])
  }

  private var layerMembers: [JSONValue.Member] {
    [
      .init("layer_batch", .integer(layerBatch)),
      .init("layer_learning_rate", .double(layerLearningRate)),
      .init("layer_code_rate", .double(layerCodeRate)),
    ]
  }

  private var importanceMembers: [JSONValue.Member] {
    [("importance", importance), ("importance_output", importanceOutput)].compactMap { key, path in
      path.map { .init(key, .recipeText($0.written)) }
    }
  }

  private var dampingMembers: [JSONValue.Member] {
    (method == .gptq || propagation > 0 ? [.init("damping", .double(damping))] : [])
      + (method == .gptq ? [.init("activation_order", .bool(activationOrder))] : [])
  }
}
