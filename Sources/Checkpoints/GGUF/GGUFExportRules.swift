import Kernels

/// What llama.cpp computes of a model, compared with its description.
struct GGUFExportRules {
  let configuration: ModelConfiguration
  /// The path of `config.json` for errors.
  let path: String

  private var conventions: GGUFConventions { configuration.family.gguf }
  private var architecture: String { configuration.family.ggufArchitecture }
  private var shapes: [GGUFLayerShape] { configuration.layerShapes }

  /// Compares the model with what llama.cpp computes.
  ///
  /// - Returns: Notices about texts from a stated length on, which llama.cpp computes otherwise.
  /// - Throws: `FormatError.notExact` with the key, when llama.cpp computes every text otherwise.
  func notices() throws(FormatError) -> [String] {
    try requireHeads()
    try requireActivation()
    try requireScores()
    try requireTurningLayers()
    for own in conventions.ownKeys {
      if let other = own.check(configuration) { throw refusal(other.key, other.reason) }
    }
    let windows = try windowNotices()
    return windows + (try rotaryNotices()) + placeholderNotices
  }

  private var placeholderNotices: [String] {
    guard !configuration.description.placeholders.isEmpty else { return [] }
    return [
      "llama.cpp embeds the tokens that stand for images and sounds as they are, not as padding; it computes "
        + "texts with them differently"
    ]
  }

  private func refusal(_ key: String, _ reason: String) -> FormatError {
    FormatError(
      path, at: "key '\(key)'", .notExact("llama.cpp \(reason) in architecture '\(architecture)'"))
  }

  private func requireHeads() throws(FormatError) {
    let width = configuration.headCount * configuration.headSize
    guard width != configuration.hiddenSize, !conventions.hasOwnHeadSize else { return }
    throw refusal(
      "head_dim",
      "has no heads that are together \(width) wide in a stream of \(configuration.hiddenSize)")
  }

  private func requireActivation() throws(FormatError) {
    let defaults = configuration.family.defaults
    guard Activation(configurationName: defaults.activation) != configuration.sizes.activation else { return }
    throw refusal(defaults.activationKey, "computes '\(defaults.activation)'")
  }

  private func requireScores() throws(FormatError) {
    let c = configuration
    if conventions.requiresCaps {
      guard c.description.logitCap != nil else {
        throw refusal("final_logit_softcapping", "always bounds the logits")
      }
      guard shapes.allSatisfy({ $0.attention.scoreCap != nil }) else {
        throw refusal("attn_logit_softcapping", "always bounds the scores")
      }
    }
    guard let layerCount = conventions.streamScaledLayerCount else { return }
    let width = c.layerCount == layerCount ? c.hiddenSize / c.headCount : c.headSize
    let expected = 1 / Float(width).squareRoot()
    guard shapes.allSatisfy({ abs($0.attention.scale - expected) <= 1e-6 * expected }) else {
      throw refusal("query_pre_attn_scalar", "always takes \(width) with \(c.layerCount) layers")
    }
  }

  private func requireTurningLayers() throws(FormatError) {
    let turns = shapes.map { $0.rotary != nil }
    let (expected, key): ([Bool], String) =
      switch conventions.turningLayers {
      case .all: (turns.map { _ in true }, "no_rope_layers")
      case .allButEvery(let n): (turns.indices.map { ($0 + 1) % n != 0 }, "no_rope_layers")
      case .windowed: (shapes.map { $0.attention.window != nil }, "layer_types")
      }
    guard turns != expected else { return }
    throw refusal(key, "turns queries and keys in other layers")
  }

  private func windowNotices() throws(FormatError) -> [String] {
    let windows = shapes.map(\.attention.window)
    let sizes = Set(windows.compactMap(\.self))
    switch conventions.windows {
    case .ignored:
      guard let window = sizes.min(), window < configuration.contextLength else { return [] }
      return [
        "llama.cpp does not apply the window of \(window) tokens in architecture '\(architecture)'; it "
          + "computes texts of more than \(window) tokens differently"
      ]
    case .allButEvery(let n):
      guard windows.indices.allSatisfy({ (windows[$0] != nil) == (($0 + 1) % n != 0) }) else {
        throw refusal("layer_types", "always gives a window to all but every layer \(n)")
      }
    case .listed: break
    }
    guard sizes.count == 1 else { throw refusal("sliding_window", "has one window for all layers with one") }
    return []
  }

  private func rotaryNotices() throws(FormatError) -> [String] {
    guard let global = configuration.globalRotary else { return [] }
    for shape in shapes {
      guard let rotary = shape.rotary, !rotary.turns(like: global) else { continue }
      guard conventions.windowedBaseKey != nil, shape.attention.window != nil,
        rotary.parameters.scaling == nil
      else { throw refusal("rope_parameters", "does not turn layers differently") }
    }
    if let growth = global.queryGrowth {
      guard conventions.holdsQueryGrowth, case .yarn(let yarn) = global.parameters.scaling,
        yarn.originalContext == growth.context
      else { throw refusal("rope_parameters", "has no such growth of the queries") }
    }
    switch global.parameters.scaling {
    case nil, .linear: return []
    case .llama3:
      guard conventions.holdsDivisors else { throw refusal("rope_scaling", "has no scaling 'llama3'") }
      return []
    case .yarn(let yarn): return try notices(yarn)
    case .longrope(let longrope):
      guard conventions.holdsLengthDivisors else {
        throw refusal("rope_scaling", "has no scaling 'longrope'")
      }
      guard longrope.shortDivisors != longrope.longDivisors else { return [] }
      return [
        "llama.cpp takes the short factors of the positions if its context is at most "
          + "\(longrope.originalContext) tokens and the long ones otherwise, whatever the length of the text"
      ]
    case .dynamic: throw refusal("rope_scaling", "has no scaling 'dynamic'")
    case .proportional:
      guard conventions.holdsPairShare else {
        throw refusal("rope_parameters", "has no scaling 'proportional'")
      }
      return []
    }
  }

  private func notices(_ yarn: YarnScaling) throws(FormatError) -> [String] {
    try require(yarn)
    guard !yarn.roundsBounds else { return [] }
    return [
      "llama.cpp always rounds the bounds of yarn, although '\(GGUFRotary.truncateKey)' is false; it computes "
        + "every text differently, as it does with any file of architecture '\(architecture)'"
    ]
  }

  private func require(_ yarn: YarnScaling) throws(FormatError) {
    guard yarn.roundsBounds || conventions.leavesYarnBounds else {
      throw refusal(GGUFRotary.truncateKey, "always rounds the bounds of yarn")
    }
    var other = yarn
    other.statedAmplitude = nil
    other.logarithmWeights = conventions.holdsQueryGrowth ? yarn.logarithmWeights : nil
    if let weights = other.logarithmWeights, weights.numerator != 1 {
      throw refusal("mscale", "always takes 1")
    }
    guard abs(other.amplitude - yarn.amplitude) <= 1e-5 * yarn.amplitude else {
      throw refusal(
        "attention_factor", "always takes \(Float(other.amplitude)) for a factor of \(yarn.factor)")
    }
  }
}

extension RotaryDescription {
  /// Whether the heads of two layers, which may differ in width and number, turn in the same way.
  fileprivate func turns(like other: RotaryDescription) -> Bool {
    parameters == other.parameters && pairing == other.pairing && queryGrowth == other.queryGrowth
      && headSize == other.headSize && turnedCount == other.turnedCount
  }
}

/// What a GGUF file says about a layer besides its tensors.
struct GGUFLayerShape {
  let attention: AttentionDescription
  /// How queries and keys turn; nil if they do not.
  let rotary: RotaryDescription?
}

extension ModelConfiguration {
  /// The layers with attention, first to last.
  var layerShapes: [GGUFLayerShape] {
    description.layers.compactMap { layer in
      var rotary: RotaryDescription?
      for operation in layer.parts.flatMap(\.operations) {
        switch operation {
        case .rotary(let description): rotary = description
        case .attention(let attention): return GGUFLayerShape(attention: attention, rotary: rotary)
        default: continue
        }
      }
      return nil
    }
  }

  /// The way of turning of the layers without a window, or of all layers if each has one.
  var globalRotary: RotaryDescription? {
    layerShapes.first { $0.attention.window == nil && $0.rotary != nil }?.rotary
      ?? rotaryDescriptions.first
  }
}
