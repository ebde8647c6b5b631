/// A piece of a SentencePiece model.
package struct SentencePiece: Sendable, Equatable {
  /// What a piece stands for; raw values as in the file and in GGUF.
  package enum Kind: Int, Sendable {
    case normal = 1
    /// Characters that have no piece.
    case unknown = 2
    /// A mark that no text contains.
    case control = 3
    /// A text that is always one piece.
    case userDefined = 4
    /// A piece that is cut into its parts.
    case unused = 5
    /// A byte of a character that has no piece: `<0x0A>`.
    case byte = 6
  }

  /// More pieces than any known model has.
  static let countLimit = 1 << 22
  /// SentencePiece rejects pieces of this size.
  private static let byteCountLimit = 8000

  /// The piece, with U+2581 for a space.
  package let text: String
  /// The logarithm of a probability, or minus the rank of a merge; finite.
  package let score: Float
  /// What the piece stands for.
  package let kind: Kind

  /// The byte of a piece of the kind `byte`.
  package var byte: UInt8? {
    let bytes = Array(text.utf8)
    guard kind == .byte, bytes.count == 6, bytes.starts(with: "<0x".utf8), bytes[5] == UInt8(ascii: ">")
    else { return nil }
    let digits = Array("0123456789ABCDEF".utf8)
    guard let high = digits.firstIndex(of: bytes[3]), let low = digits.firstIndex(of: bytes[4]) else {
      return nil
    }
    return UInt8(high << 4 | low)
  }

  /// Reads the message of a piece.
  ///
  /// - Parameters:
  ///   - message: The field that holds the message.
  ///   - file: The bytes of the whole file.
  ///   - id: The number of the piece, for errors.
  ///   - path: The path for errors.
  /// - Throws: `FormatError`.
  init(_ message: ProtobufField, _ file: RawSpan, id: Int, path: String) throws(FormatError) {
    var text = ""
    var score: Float = 0
    var kind = Kind.normal
    var reader = ProtobufReader(try message.range(), path: path)
    while let field = try reader.next(file) {
      switch field.number {
      case 1: text = try field.string(file)
      case 2: score = try field.float()
      case 3:
        let number = try field.integer()
        guard let read = Kind(rawValue: number) else {
          throw field.error(.unsupportedKind("piece \(id) of type \(number)"))
        }
        kind = read
      default: continue
      }
    }
    (self.text, self.score, self.kind) = (text, score, kind)
    if let defect { throw FormatError(path, byte: message.byteOffset, at: "piece \(id)", .malformed(defect)) }
  }

  private var defect: String? {
    if text.isEmpty { return "is empty" }
    if text.utf8.contains(0) { return "has a NUL character" }
    if text.utf8.count >= Self.byteCountLimit { return "has \(text.utf8.count) bytes" }
    if !score.isFinite { return "its score is not finite" }
    if kind == .byte, byte == nil { return "'\(text)' is not the piece of a byte" }
    return nil
  }
}
