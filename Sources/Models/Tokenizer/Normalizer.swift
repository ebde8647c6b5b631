import Foundation

/// The changes that are made to a text before it is cut into words.
struct Normalizer: Sendable {
  /// A Unicode normalization form, named as in `tokenizer.json`.
  enum Form: String {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"
  }

  /// One change.
  enum Step: Sendable {
    case form(Form)
    /// Every scalar becomes its lower case, whatever stands beside it.
    case lowercase
    /// White space is removed at the ends.
    case strip(left: Bool, right: Bool)
    /// Combining marks are removed.
    case stripAccents
    /// A text in UTF-8 is put first, unless there is nothing to put it before.
    case prepend([UInt8])
    /// Every match becomes a text in UTF-8.
    case replace(Pattern, with: [UInt8])
  }

  /// The changes, in order.
  var steps: [Step] = []

  /// Applies the changes.
  ///
  /// - Parameter text: Valid UTF-8.
  /// - Returns: The changed text, or nil if it surely is unchanged.
  func changed(_ text: Span<UInt8>) -> [UInt8]? {
    var result: [UInt8]?
    for step in steps {
      if let current = result {
        result = step.changed(current.span) ?? current
      } else {
        result = step.changed(text)
      }
    }
    return result
  }
}

extension Normalizer.Step {
  fileprivate func changed(_ text: Span<UInt8>) -> [UInt8]? {
    switch self {
    case .form(let form): form.changed(text)
    case .lowercase:
      text.mapScalars { value in
        Unicode.Scalar(value).map { Array($0.properties.lowercaseMapping.utf8) } ?? []
      }
    case .strip(let left, let right): text.bytes(in: text.rangeWithoutSpace(left: left, right: right))
    case .stripAccents: text.mapScalars { Self.isMark($0) ? [] : nil }
    case .prepend(let first): text.isEmpty ? nil : first + text.bytes(in: text.indices)
    case .replace(let pattern, let content): pattern.replacingMatches(in: text, with: content)
    }
  }
}

extension Normalizer.Step {
  /// The Unicode version of the combining marks of `tokenizers`, and two scalars that were marks then.
  private static let marksVersion = 9
  private static let formerMarks: ClosedRange<UInt32> = 0x1CF2...0x1CF3

  private static func isMark(_ value: UInt32) -> Bool {
    guard !formerMarks.contains(value) else { return true }
    guard ScalarKinds.marks.contains(ScalarKinds.kind(of: value)) else { return false }
    return (Unicode.Scalar(value)?.properties.age?.major).map { $0 <= marksVersion } ?? false
  }
}

extension Normalizer.Form {
  /// Text whose bytes are all below this one is already in the form.
  private var firstChangingByte: UInt8 {
    switch self {
    case .nfc: 0xCC  // U+0300
    case .nfd, .nfkc, .nfkd: 0x80
    }
  }

  fileprivate func changed(_ text: Span<UInt8>) -> [UInt8]? {
    guard text.indices.contains(where: { text[$0] >= firstChangingByte }) else { return nil }
    let string = String(decoding: text.bytes(in: text.indices), as: UTF8.self)
    let changed =
      switch self {
      case .nfc: string.precomposedStringWithCanonicalMapping
      case .nfd: string.decomposedStringWithCanonicalMapping
      case .nfkc: string.precomposedStringWithCompatibilityMapping
      case .nfkd: string.decomposedStringWithCompatibilityMapping
      }
    return Array(changed.utf8)
  }
}

extension Span<UInt8> {
  /// Returns a copy of some bytes.
  func bytes(in range: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(range.count)
    for i in range { bytes.append(self[i]) }
    return bytes
  }

  /// Returns the text with each scalar replaced by what `body` gives for it; nil keeps the scalar.
  fileprivate func mapScalars(_ body: (UInt32) -> [UInt8]?) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    var position = 0
    while position < count {
      let scalar = scalar(at: position)
      if let bytes = body(scalar.value) {
        result += bytes
      } else {
        for i in position..<scalar.end { result.append(self[i]) }
      }
      position = scalar.end
    }
    return result
  }

  /// The text without the white space at one or both ends.
  fileprivate func rangeWithoutSpace(left: Bool, right: Bool) -> Range<Int> {
    var (start, end) = (0, count)
    while left, start < end, isWhiteSpace(at: start) { start = scalar(at: start).end }
    while right, start < end, isWhiteSpace(at: startOfScalar(before: end)) {
      end = startOfScalar(before: end)
    }
    return start..<end
  }

  /// Whether the scalar that begins at an offset is white space.
  func isWhiteSpace(at offset: Int) -> Bool {
    Unicode.Scalar(scalar(at: offset).value)?.properties.isWhitespace ?? false
  }
}

extension AddedToken {
  /// The token as it is matched in normalized text.
  func normalized(_ normalizer: Normalizer) -> AddedToken {
    AddedToken(
      id: id, content: normalizer.changed(content.span) ?? content, isSpecial: isSpecial,
      stripsLeft: stripsLeft, stripsRight: stripsRight, isSingleWord: isSingleWord, isNormalized: isNormalized
    )
  }
}
