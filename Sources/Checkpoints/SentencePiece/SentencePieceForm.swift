/// How a `tokenizer.json` treats spaces in the way of SentencePiece.
package struct SentencePieceForm: Sendable, Equatable {
  /// The scalar that stands for a space.
  static let mark: Unicode.Scalar = "\u{2581}"
  /// The same as a text.
  package static let space = String(mark)

  /// Whether a space is put before each text between two added tokens.
  package var addsPrefixSpace: Bool
  /// Texts that other programs tokenize differently when they only know `addsPrefixSpace`; nil for none.
  package var exception: String?

  /// Makes the form that puts a space before each text, or none.
  package init(addsPrefixSpace: Bool) { self.init(addsPrefixSpace, exception: nil) }

  private init(_ addsPrefixSpace: Bool, exception: String?) {
    self.addsPrefixSpace = addsPrefixSpace
    self.exception = exception
  }

  /// Recognizes the form of a document; nil for any other.
  ///
  /// - Parameter document: A `tokenizer.json`.
  package init?(_ document: JSONValue) {
    let normalizers = Self.parts(document["normalizer"], "normalizers")
    let preTokenizers = Self.parts(document["pre_tokenizer"], "pretokenizers")
    if normalizers.isEmpty, let metaspace = preTokenizers.first, preTokenizers.count == 1 {
      self.init(metaspace: metaspace)
      return
    }
    // A split at spaces, as in Gemma's files, finds none after they were replaced.
    guard preTokenizers.allSatisfy(Self.isSplitAtSpaces), let last = normalizers.last,
      last["type"]?.string == "Replace", last["pattern"]?["String"]?.string == " ",
      last["content"]?.string == Self.space
    else { return nil }
    switch normalizers.count {
    case 1: self.init(addsPrefixSpace: false)
    case 2 where normalizers[0]["prepend"]?.string == Self.space: self.init(addsPrefixSpace: true)
    default: return nil
    }
  }

  private init?(metaspace: JSONValue) {
    guard metaspace["type"]?.string == "Metaspace", metaspace["replacement"]?.string == Self.space,
      metaspace["split"]?.bool == false
    else { return nil }
    switch metaspace["prepend_scheme"]?.string ?? "always" {
    case "always": self.init(true, exception: "texts that begin with a space")
    case "first":
      self.init(true, exception: "texts that begin with a space, and texts after a special token")
    case "never": self.init(addsPrefixSpace: false)
    default: return nil
    }
  }

  private static func isSplitAtSpaces(_ component: JSONValue) -> Bool {
    component["type"]?.string == "Split" && component["pattern"]?["String"]?.string == " "
  }

  private static func parts(_ component: JSONValue?, _ key: String) -> [JSONValue] {
    guard let component, !component.isNull else { return [] }
    guard component["type"]?.string == "Sequence" else { return [component] }
    return (component[key]?.array ?? []).flatMap { parts($0, key) }
  }
}

/// Texts with spaces, and with the scalar that stands for them.
///
/// They are read scalar by scalar: either of the two and a combining character after it are one `Character`, in
/// which a search for a string finds neither.
extension SentencePieceForm {
  /// Whether a text has the scalar.
  static func hasMark(_ text: String) -> Bool { text.unicodeScalars.contains(mark) }

  /// Replaces spaces by the scalar.
  static func marked(_ text: String) -> String { replacing(" ", by: mark, in: text) }

  /// Replaces the scalar by spaces.
  static func unmarked(_ text: String) -> String { replacing(mark, by: " ", in: text) }

  private static func replacing(_ old: Unicode.Scalar, by new: Unicode.Scalar, in text: String) -> String {
    var scalars = String.UnicodeScalarView()
    scalars.append(contentsOf: text.unicodeScalars.lazy.map { $0 == old ? new : $0 })
    return String(scalars)
  }
}

/// As components of a `tokenizer.json`.
extension SentencePieceForm {
  /// The component `normalizer`.
  package var normalizer: JSONValue {
    let replace = Self.replace(" ", Self.space)
    guard addsPrefixSpace else { return replace }
    return Self.component("Sequence", [.init("normalizers", .array([Self.prepend, replace]))])
  }

  /// The component `decoder`.
  package var decoder: JSONValue {
    var decoders = [
      Self.replace(Self.space, " "), Self.component("ByteFallback"), Self.component("Fuse"),
    ]
    if addsPrefixSpace {
      decoders.append(
        Self.component(
          "Strip", [.init("content", .string(" ")), .init("start", .integer(1)), .init("stop", .integer(0))]))
    }
    return Self.component("Sequence", [.init("decoders", .array(decoders))])
  }

  private static let prepend = component("Prepend", [.init("prepend", .string(space))])

  private static func replace(_ text: String, _ content: String) -> JSONValue {
    component(
      "Replace",
      [.init("pattern", .object([.init("String", .string(text))])), .init("content", .string(content))])
  }

  /// A component of a type.
  package static func component(_ type: String, _ members: [JSONValue.Member] = []) -> JSONValue {
    .object([JSONValue.Member("type", .string(type))] + members)
  }
}
