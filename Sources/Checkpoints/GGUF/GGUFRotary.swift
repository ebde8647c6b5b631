/// The rotary position embedding of a GGUF file, as a part of `config.json`.
struct GGUFRotary {
  /// `rope_theta`, and `rope_scaling` if wavelengths are scaled.
  let members: [JSONValue.Member]

  /// Reads the keys, and the factors of the frequencies, which a file may have.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - architecture: The beginning of the keys.
  ///   - frequencies: The values of `rope_freqs.weight`.
  ///   - headSize: The width of a head.
  /// - Throws: `FormatError` when `config.json` cannot express the scaling.
  init(
    _ keys: GGUFKeys, _ architecture: String, frequencies: [Float]?, headSize: Int
  ) throws(FormatError) {
    let baseKey = "\(architecture).rope.freq_base"
    let theta = try keys.number(baseKey) ?? .number("10000.0")
    guard let base = theta.double, base > 1 else {
      throw keys.error(baseKey, .malformed("\(theta.compactText) is not more than 1"))
    }
    var members = [JSONValue.Member("rope_theta", theta)]
    if let scaling = try Self.linearScaling(keys, architecture) {
      members.append(JSONValue.Member("rope_scaling", scaling))
    }
    if let frequencies {
      let stated = try Llama3Scaling(keys)
      guard members.count == 1,
        let scaling = Self.llama3Scaling(frequencies, like: stated, base: base, headSize: headSize)
      else {
        throw FormatError(
          keys.path, at: "tensor '\(GGUFTensorNames.frequencies)'",
          .unsupported("has factors other than those of Llama 3"))
      }
      members.append(JSONValue.Member("rope_scaling", scaling.json))
    }
    self.members = members
  }

  private static func linearScaling(
    _ keys: GGUFKeys, _ architecture: String
  ) throws(FormatError) -> JSONValue? {
    let (kindKey, factorKey) = ("\(architecture).rope.scaling.type", "\(architecture).rope.scaling.factor")
    let kind = try keys.string(kindKey)
    guard kind == nil || kind == "none" || kind == "linear" else {
      throw keys.error(kindKey, .unsupportedKind("scaling '\(kind ?? "")'"))
    }
    let older = try keys.number("\(architecture).rope.scale_linear")
    let stated = kind == "linear" ? try keys.number(factorKey) : kind == nil ? older : nil
    guard let factor = stated else {
      if kind == "linear" { throw FormatError(keys.path, .missing("key '\(factorKey)'")) }
      return nil
    }
    guard factor.double != 1 else { return nil }
    return .object([JSONValue.Member("rope_type", .string("linear")), JSONValue.Member("factor", factor)])
  }

  /// The parameters of Llama 3.1's scaling that give these factors, or nil when there are none.
  ///
  /// The factor is that of the slowest frequency; every other one is then checked against the parameters.
  static func llama3Scaling(
    _ frequencies: [Float], like stated: Llama3Scaling = .published, base: Double, headSize: Int
  ) -> Llama3Scaling? {
    let tolerance = 1e-5
    guard frequencies.count == headSize / 2, let factor = frequencies.last.map(Double.init), factor >= 1
    else {
      return nil
    }
    let scaling = stated.with(factor: factor)
    let plain = RotaryParameters(theta: base).plainFrequencies(headSize: headSize)
    for (found, frequency) in zip(frequencies, plain) {
      let expected = scaling.divisor(ofFrequency: Double(frequency))
      guard abs(Double(found) - expected) <= tolerance * expected else { return nil }
    }
    return scaling
  }
}

extension Llama3Scaling {
  /// The key under which our own files state the parameters except the factor.
  static let key = "rilq.rope_scaling"
  /// The parameters of all published models; the factor is in the file.
  static let published = Llama3Scaling(
    factor: 1, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
  private static let keys = (
    low: "low_freq_factor", high: "high_freq_factor", context: "original_max_position_embeddings"
  )

  /// The parameters except the factor, by their names in `config.json`.
  private var members: [JSONValue.Member] {
    [
      JSONValue.Member(Self.keys.low, .double(lowFrequencyFactor)),
      JSONValue.Member(Self.keys.high, .double(highFrequencyFactor)),
      JSONValue.Member(Self.keys.context, .integer(originalContext)),
    ]
  }

  /// The text of the key.
  var statement: JSONValue { .object(members) }

  /// The value of `rope_scaling` in `config.json`.
  fileprivate var json: JSONValue {
    .object(
      [JSONValue.Member("rope_type", .string("llama3")), JSONValue.Member("factor", .double(factor))]
        + members)
  }

  fileprivate func with(factor: Double) -> Llama3Scaling {
    Llama3Scaling(
      factor: factor, lowFrequencyFactor: lowFrequencyFactor, highFrequencyFactor: highFrequencyFactor,
      originalContext: originalContext)
  }

  /// Reads the parameters in a file's metadata; if there are none, takes those of the published models.
  ///
  /// - Throws: `FormatError` when the parameters are incomplete or make no sense.
  init(_ keys: GGUFKeys) throws(FormatError) {
    guard let text = try keys.string(Self.key) else {
      self = .published
      return
    }
    let json = try keys.json(Self.key, text)
    guard let low = json[Self.keys.low]?.double, let high = json[Self.keys.high]?.double,
      let context = json[Self.keys.context]?.integer, low > 0, high > low, high.isFinite, context > 0
    else { throw keys.error(Self.key, .malformed("lacks the three parameters of Llama 3's scaling")) }
    self.init(factor: 1, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext: context)
  }
}
