internal import Kernels

extension JSONValue {
  /// The document as compact text, keys in their order.
  public var compactText: String { text(indent: nil) }

  /// The document on several lines, with two spaces per level and arrays of plain values on one line.
  public var prettyText: String { text(indent: 0) }

  /// Writes the `prettyText` of an object in pieces, several made at once, so that a long array in it is never
  /// whole in memory.
  ///
  /// - Parameters:
  ///   - members: The members before the last one.
  ///   - key: The key of the last member, which is an array of objects.
  ///   - count: The length of the array.
  ///   - element: Makes an element of the array by its index.
  ///   - output: Gets the pieces in order, each whole characters.
  package static func writePrettyText(
    of members: [Member], endingWith key: String, count: Int, _ element: @Sendable (Int) -> JSONValue,
    to output: (String) -> Void
  ) {
    guard count > 0 else { return output(object(members + [Member(key, .array([]))]).prettyText) }
    var head: [UInt8] = []
    head.append("{")
    for member in members {
      startLine(of: &head, indent: 1)
      member.write(to: &head, indent: 1)
      head.append(",")
    }
    startLine(of: &head, indent: 1)
    writeString(key, to: &head)
    output(String(decoding: head, as: UTF8.self) + ": [")
    for start in stride(from: 0, to: count, by: elementsPerPiece * piecesAtOnce) {
      let pieceCount = min(piecesAtOnce, (count - start + elementsPerPiece - 1) / elementsPerPiece)
      let pieces = parallelMap(pieceCount) { piece in
        let first = start + piece * elementsPerPiece
        var text: [UInt8] = []
        for i in first..<min(first + elementsPerPiece, count) {
          if i > 0 { text.append(",") }
          startLine(of: &text, indent: 2)
          element(i).write(to: &text, indent: 2)
        }
        return String(decoding: text, as: UTF8.self)
      }
      for piece in pieces { output(piece) }
    }
    output("\n  ]\n}")
  }

  private static let elementsPerPiece = 512
  private static let piecesAtOnce = 16

  private func text(indent: Int?) -> String {
    // Appends bytes, because appending to a string costs several times as much.
    var bytes: [UInt8] = []
    write(to: &bytes, indent: indent)
    return String(decoding: bytes, as: UTF8.self)
  }

  fileprivate func write(to text: inout [UInt8], indent: Int?) {
    switch self {
    case .null: text.append("null")
    case .bool(let value): text.append(value ? "true" : "false")
    case .number(let literal): text.append(contentsOf: literal.utf8)
    case .string(let string): Self.writeString(string, to: &text)
    case .array(let elements):
      let inner = elements.allSatisfy(\.isPlain) ? nil : indent
      Self.write(elements, between: "[", "]", to: &text, indent: inner) { element, text, indent in
        element.write(to: &text, indent: indent)
      }
    case .object(let members):
      Self.write(members, between: "{", "}", to: &text, indent: indent) { member, text, indent in
        member.write(to: &text, indent: indent)
      }
    }
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private static func write<Element>(
    _ elements: [Element], between open: Unicode.Scalar, _ close: Unicode.Scalar, to text: inout [UInt8],
    indent: Int?, _ body: (Element, inout [UInt8], Int?) -> Void
  ) {
    text.append(UInt8(ascii: open))
    for (i, element) in elements.enumerated() {
      if i > 0 { text.append(UInt8(ascii: ",")) }
      if let indent { startLine(of: &text, indent: indent + 1) }
      body(element, &text, indent.map { $0 + 1 })
    }
    if let indent, !elements.isEmpty { startLine(of: &text, indent: indent) }
    text.append(UInt8(ascii: close))
  }

  private static func startLine(of text: inout [UInt8], indent: Int) {
    text.append(UInt8(ascii: "\n"))
    text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * indent))
  }

  fileprivate static func writeString(_ string: String, to text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    let bytes = string.utf8.span
    if bytes.indices.contains(where: { needsEscape(bytes[$0]) }) {
      for i in bytes.indices { writeEscaped(bytes[i], to: &text) }
    } else {
      text.append(contentsOf: string.utf8)
    }
    text.append(UInt8(ascii: "\""))
  }

  private static func needsEscape(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
  }

  private static func writeEscaped(_ byte: UInt8, to text: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\""): text.append("\\\"")
    case UInt8(ascii: "\\"): text.append("\\\\")
    case UInt8(ascii: "\n"): text.append("\\n")
    case UInt8(ascii: "\r"): text.append("\\r")
    case UInt8(ascii: "\t"): text.append("\\t")
    case 0..<0x20:
      text.append(byte < 0x10 ? "\\u000" : "\\u00")
      text.append(contentsOf: String(byte, radix: 16).utf8)
    default: text.append(byte)
    }
  }
}

extension JSONValue.Member {
  fileprivate func write(to text: inout [UInt8], indent: Int?) {
    JSONValue.writeString(key, to: &text)
    text.append(indent == nil ? ":" : ": ")
    value.write(to: &text, indent: indent)
  }
}

extension [UInt8] {
  fileprivate mutating func append(_ literal: StaticString) { append(contentsOf: literal.description.utf8) }
}
