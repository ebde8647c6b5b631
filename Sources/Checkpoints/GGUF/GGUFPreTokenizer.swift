/// The ways to cut text into words that `tokenizer.ggml.pre` names, as `tokenizer.json` describes them.
struct GGUFPreTokenizer {
  /// The component `pre_tokenizer`.
  let json: JSONValue
  /// The component `normalizer`.
  let normalizer: JSONValue
  /// Whether a word that is a token is not put together from merges.
  let ignoresMerges: Bool
  /// Whether a text begins with the token for that unless the file says otherwise.
  let addsBeginToken: Bool

  /// Describes the way of a name; nil for one that is not known for certain.
  init?(_ name: String, addsPrefixSpace: Bool) {
    normalizer = name == "qwen2" ? Self.component("NFC") : .null
    ignoresMerges = Self.llama3Names.contains(name)
    addsBeginToken = ignoresMerges
    switch name {
    case "gpt-2": json = Self.byteLevel(addsPrefixSpace, usesRegex: true)
    case "smollm", "starcoder":
      let digits = Self.component("Digits", [JSONValue.Member("individual_digits", .bool(true))])
      json = Self.sequence(digits, Self.byteLevel(addsPrefixSpace, usesRegex: true))
    case "qwen2":
      json = Self.sequence(Self.split(digits: ""), Self.byteLevel(addsPrefixSpace, usesRegex: false))
    case _ where ignoresMerges:
      json = Self.sequence(Self.split(digits: "{1,3}"), Self.byteLevel(addsPrefixSpace, usesRegex: false))
    default: return nil
    }
  }

  private static let llama3Names: Set = ["llama-bpe", "llama3", "llama-v3"]

  private static func component(_ type: String, _ members: [JSONValue.Member] = []) -> JSONValue {
    .object([JSONValue.Member("type", .string(type))] + members)
  }

  private static func sequence(_ parts: JSONValue...) -> JSONValue {
    component("Sequence", [JSONValue.Member("pretokenizers", .array(parts))])
  }

  /// The component `ByteLevel`.
  static func byteLevel(_ addsPrefixSpace: Bool, usesRegex: Bool) -> JSONValue {
    component(
      "ByteLevel",
      [
        JSONValue.Member("add_prefix_space", .bool(addsPrefixSpace)),
        JSONValue.Member("trim_offsets", .bool(true)), JSONValue.Member("use_regex", .bool(usesRegex)),
      ])
  }

  /// The expression of Llama 3 and Qwen 2, which differ in how many digits stay together.
  private static func split(digits: String) -> JSONValue {
    let regex =
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    return component(
      "Split",
      [
        JSONValue.Member("pattern", .object([JSONValue.Member("Regex", .string(regex))])),
        JSONValue.Member("behavior", .string("Isolated")), JSONValue.Member("invert", .bool(false)),
      ])
  }
}
