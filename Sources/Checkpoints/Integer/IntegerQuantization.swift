/// A configuration's description of weights whose zero points are integers: `scale * (code - zero point)`.
///
/// `Formats/gptq.md`, `Formats/awq.md` and `Formats/compressed-tensors.md` have the layouts.
struct IntegerQuantization {
  /// The tool that made the checkpoint, by the `quant_method` of its configuration.
  enum Method: String, CaseIterable {
    case gptq
    case awq
    case autoRound = "auto-round"
    case compressedTensors = "compressed-tensors"
  }

  /// How the tensors of a module are named and packed.
  enum Layout {
    /// `qweight`, `qzeros`, `scales`, `g_idx`; codes are packed down the input.
    case gptq
    /// GPTQ's names; codes and zero points are packed along the outputs, eight at a time in an order of their own.
    case awq
    /// `weight_packed`, `weight_scale`, `weight_shape`, `weight_zero_point`; codes are packed along a row.
    case compressedTensors
    /// `weight`, a signed code in each byte; `weight_scale`, `weight_zero_point`.
    case bytes
  }

  /// How a module is quantized.
  struct Scheme: Equatable {
    var bits: Int
    /// The number of columns that share a scale; nil means a whole row.
    var groupSize: Int?
    /// Whether every zero point is `2^(bits - 1)`.
    var isSymmetric: Bool
  }

  let method: Method
  let layout: Layout
  /// The name of the format in its own configuration: `gptq_v2`, `auto_round`, `pack-quantized`, `int-quantized`.
  let formatName: String
  /// How zero points are stored, according to the configuration.
  let zeroPoints: StoredZeroPoints
  /// The configuration's file and key, for errors.
  let place: ConfigurationPlace
  /// How a module is quantized, or nil when it is not.
  let scheme: (_ module: String) throws(FormatError) -> Scheme?
}

/// The contents of the fields of packed zero points.
enum StoredZeroPoints: String, Sendable {
  /// The zero point minus one.
  case v1
  /// The zero point.
  case v2

  /// The other version.
  var other: StoredZeroPoints { self == .v1 ? .v2 : .v1 }
}

/// The place of a description of quantization.
struct ConfigurationPlace {
  /// The file.
  let path: String
  /// The key in it, ready to print.
  let key: String

  /// An error about the place, or about a key in it.
  func error(_ problem: FormatError.Problem, at inner: String? = nil) -> FormatError {
    FormatError(path, at: inner.map { key.isEmpty ? "key '\($0)'" : "\(key): '\($0)'" } ?? key, problem)
  }
}

extension ConfigurationPlace {
  /// A whole number under a key; nil when it is not there or null.
  func integer(_ key: String, of block: JSONValue) throws(FormatError) -> Int? {
    guard let value = block[key], !value.isNull else { return nil }
    guard let integer = value.integer else { throw error(.malformed("is not an integer"), at: key) }
    return integer
  }

  /// A truth value under a key; nil when it is not there or null.
  func bool(_ key: String, of block: JSONValue) throws(FormatError) -> Bool? {
    guard let value = block[key], !value.isNull else { return nil }
    guard let bool = value.bool else { throw error(.malformed("is neither true nor false"), at: key) }
    return bool
  }

  /// A text under a key; nil when it is not there or null.
  func string(_ key: String, of block: JSONValue) throws(FormatError) -> String? {
    guard let value = block[key], !value.isNull else { return nil }
    guard let string = value.string else { throw error(.malformed("is not a string"), at: key) }
    return string
  }

  /// The texts under a key; none when it is not there or null.
  func strings(_ key: String, of block: JSONValue) throws(FormatError) -> [String] {
    guard let value = block[key], !value.isNull else { return [] }
    guard let array = value.array else { throw error(.malformed("is not a list"), at: key) }
    var strings: [String] = []
    for element in array {
      guard let string = element.string else {
        throw error(.malformed("has something that is not a string"), at: key)
      }
      strings.append(string)
    }
    return strings
  }

  /// A scheme with the values of a block in place of the defaults.
  ///
  /// - Parameters:
  ///   - block: An object with some of `bits`, `group_size` and `sym`.
  ///   - defaults: The values for keys that are missing.
  /// - Returns: The scheme; nil when the bits are 16 or more, which means not quantized.
  /// - Throws: `FormatError` with the key.
  func scheme(
    of block: JSONValue, defaults: IntegerQuantization.Scheme? = nil
  ) throws(FormatError) -> IntegerQuantization.Scheme? {
    guard let bits = try integer("bits", of: block) ?? defaults?.bits else {
      throw error(.missing("integer 'bits'"))
    }
    guard bits < 16 else { return nil }
    try check(bits: bits)
    var groupSize = defaults?.groupSize
    if let given = try integer("group_size", of: block) {
      groupSize = try self.groupSize(given)
    } else if defaults == nil {
      throw error(.missing("integer 'group_size'"))
    }
    let isSymmetric = try bool("sym", of: block) ?? defaults?.isSymmetric ?? true
    return .init(bits: bits, groupSize: groupSize, isSymmetric: isSymmetric)
  }

  /// Refuses unsupported code widths.
  func check(bits: Int) throws(FormatError) {
    guard IntegerFormat.codeWidths.contains(bits) else {
      throw error(.unsupported("\(bits)-bit codes are not supported"))
    }
  }

  /// A group size; nil for whole rows.
  func groupSize(_ number: Int) throws(FormatError) -> Int? {
    if number == -1 { return nil }
    guard number > 0 else { throw error(.malformed("groups of \(number) columns")) }
    return number
  }
}
