/// Keys of an architecture that others do not have, in both directions.
struct GGUFOwnKeys: Sendable {
  /// A key of `config.json`, and what llama.cpp does instead of what it says.
  typealias Refusal = (key: String, reason: String)

  /// The keys in a file, without the architecture.
  var names: Set<String>
  /// Keys of `config.json` that are left out because others say the same.
  var replaced: Set<String> = []
  /// Makes the keys of a file; one that every architecture has is replaced.
  var write: @Sendable (ModelConfiguration) -> [GGUFExportMember]
  /// Makes members of `config.json`; they replace others with the same keys.
  var read: @Sendable (GGUFModelReader) throws(FormatError) -> [JSONValue.Member]
  /// Finds what llama.cpp computes otherwise; nil if there is nothing.
  var check: @Sendable (ModelConfiguration) -> Refusal? = { _ in nil }
}

/// The metadata and tensors of a file, for the keys that only some architectures have.
struct GGUFModelReader: Sendable {
  let keys: GGUFKeys
  let family: ModelFamily
  let sizes: GGUFHeadSizes
  /// The shapes of the file's tensors, by their names.
  let tensorShapes: [String: [Int]]
  /// The values of the tensors that stand for the scaling of the wavelengths, by their names.
  let divisors: [String: [Float]]

  /// The key with the architecture before it.
  func key(_ name: String) -> String { "\(family.ggufArchitecture).\(name)" }

  /// A size as a member of `config.json`.
  ///
  /// - Throws: `FormatError` when it is missing or no size.
  func member(_ configurationKey: String, size name: String) throws(FormatError) -> JSONValue.Member {
    JSONValue.Member(configurationKey, .integer(try keys.size(key(name))))
  }

  /// A number as JSON.
  ///
  /// - Throws: `FormatError` when it is missing or no number.
  func number(_ name: String) throws(FormatError) -> JSONValue {
    guard let number = try keys.number(key(name)) else {
      throw FormatError(keys.path, .missing("key '\(key(name))'"))
    }
    return number
  }

  /// A size for each layer.
  ///
  /// - Throws: `FormatError` when it is missing or malformed.
  func sizes(_ name: String) throws(FormatError) -> [Int] {
    guard let list = try keys.sizes(key(name), layerCount: sizes.layerCount) else {
      throw FormatError(keys.path, .missing("key '\(key(name))'"))
    }
    return list
  }
}
