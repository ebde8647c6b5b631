#if canImport(Glibc)
  import Glibc
#endif

/// How positions turn queries and keys, as a part of `config.json`.
struct GGUFRotary {
  /// `rope_theta`, and `rope_scaling` where wavelengths are stretched.
  let members: [JSONValue.Member]

  private static let base = "llama.rope.freq_base"
  private static let scalingType = "llama.rope.scaling.type"

  /// Reads the keys, and the factors that a file may have for every frequency.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - frequencies: The values of `rope_freqs.weight`.
  ///   - headSize: The width of a head.
  /// - Throws: `FormatError` when the stretching is one that `config.json` cannot express.
  init(_ keys: GGUFKeys, frequencies: [Float]?, headSize: Int) throws(FormatError) {
    let theta = try keys.number(Self.base) ?? .number("10000.0")
    guard let base = theta.double, base > 1 else {
      throw keys.error(Self.base, .malformed("\(theta.compactText) is not more than 1"))
    }
    var members = [JSONValue.Member("rope_theta", theta)]
    if let scaling = try Self.linearScaling(keys) {
      members.append(JSONValue.Member("rope_scaling", scaling))
    }
    if let frequencies {
      let stretching = try Llama3Stretching(keys)
      guard members.count == 1,
        let scaling = Self.llama3Scaling(frequencies, stretching, base: base, headSize: headSize)
      else {
        throw FormatError(
          keys.path, at: "tensor '\(GGUFTensorNames.frequencies)'",
          .unsupported("has factors other than those of Llama 3"))
      }
      members.append(JSONValue.Member("rope_scaling", scaling))
    }
    self.members = members
  }

  private static func linearScaling(_ keys: GGUFKeys) throws(FormatError) -> JSONValue? {
    let kind = try keys.string(scalingType)
    guard kind == nil || kind == "none" || kind == "linear" else {
      throw keys.error(scalingType, .unsupportedKind("scaling '\(kind ?? "")'"))
    }
    let older = try keys.number("llama.rope.scale_linear")
    let stated = kind == "linear" ? try keys.number("llama.rope.scaling.factor") : kind == nil ? older : nil
    guard let factor = stated else {
      if kind == "linear" { throw FormatError(keys.path, .missing("key 'llama.rope.scaling.factor'")) }
      return nil
    }
    guard factor.double != 1 else { return nil }
    return .object([JSONValue.Member("rope_type", .string("linear")), JSONValue.Member("factor", factor)])
  }

  /// The parameters of Llama 3.1's stretching whose factors these are, or nil when there are none.
  ///
  /// The factor is that of the slowest frequency; every other one is then checked against the parameters.
  static func llama3Scaling(
    _ frequencies: [Float], _ stretching: Llama3Stretching = .published, base: Double, headSize: Int
  ) -> JSONValue? {
    let (low, high) = (stretching.lowFactor, stretching.highFactor)
    let context = Double(stretching.originalContext)
    let tolerance = 1e-5
    guard frequencies.count == headSize / 2, let factor = frequencies.last.map(Double.init), factor >= 1
    else {
      return nil
    }
    for (i, found) in frequencies.enumerated() {
      let waves = context / (2 * Double.pi * pow(base, Double(2 * i) / Double(headSize)))
      let blend = min(max((waves - low) / (high - low), 0), 1)
      let expected = 1 / ((1 - blend) / factor + blend)
      guard abs(Double(found) - expected) <= tolerance * expected else { return nil }
    }
    return .object(
      [JSONValue.Member("rope_type", .string("llama3")), JSONValue.Member("factor", .double(factor))]
        + stretching.members)
  }
}
