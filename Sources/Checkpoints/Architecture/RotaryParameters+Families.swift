extension RotaryParameters {
  /// Reads the wavelengths of all layers.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - sizes: The hyperparameters.
  ///   - turnedCount: The columns of a head that turn; nil for all of them.
  ///   - theta: The base if no key states it.
  ///   - understood: The keys of `rope_parameters` that the family reads itself.
  ///   - yarnIsLongRope: Whether the type `yarn` is an old name of `longrope`.
  /// - Throws: `FormatError` with the key.
  init(
    _ keys: ConfigurationKeys, _ sizes: DecoderSizes, turnedCount: Int? = nil, theta: Double = 10_000,
    understood: Set<String> = [], yarnIsLongRope: Bool = false
  ) throws(FormatError) {
    try self.init(
      keys, contextLength: sizes.contextLength, turnedCount: turnedCount ?? sizes.headSize,
      defaultTheta: theta, understood: understood, yarnIsLongRope: yarnIsLongRope)
  }

  /// Reads the wavelengths of the layers that see the whole context.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - sizes: The hyperparameters.
  ///   - theta: The base if no key states it.
  /// - Throws: `FormatError` with the key.
  init(
    global keys: ConfigurationKeys, _ sizes: DecoderSizes, theta: Double
  ) throws(FormatError) {
    try self.init(
      keys, contextLength: sizes.contextLength, turnedCount: sizes.headSize, defaultTheta: theta,
      layerType: "full_attention")
  }

  /// Reads the wavelengths of the layers with a window; older configurations scale only those of the others.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - sizes: The hyperparameters.
  ///   - theta: The base if no key states it.
  ///   - baseKey: The older key of the base.
  /// - Throws: `FormatError` with the key.
  init(
    windowed keys: ConfigurationKeys, _ sizes: DecoderSizes, theta: Double, baseKey: String
  ) throws(FormatError) {
    let layerType = "sliding_attention"
    if try keys.optionalObject("rope_parameters")?[layerType]?.object != nil {
      try self.init(
        keys, contextLength: sizes.contextLength, turnedCount: sizes.headSize, defaultTheta: theta,
        layerType: layerType)
      return
    }
    let base = try keys.optionalNumber(baseKey) ?? theta
    guard base > 1, Float(base).isFinite else { throw keys.malformed(baseKey, "must be more than 1") }
    self.init(theta: base)
  }
}
