/// The scalars that stand for bytes in the texts of byte-level tokens, as in GPT-2.
///
/// `!`…`~`, `¡`…`¬` and `®`…`ÿ` stand for the byte of the same value; the other 68 bytes, in order, are
/// U+0100…U+0143, so that a space is `Ġ`.
enum ByteAlphabet {
  /// The scalar of each byte.
  static let scalars: [UInt32] = {
    var next: UInt32 = 0x100
    return (UInt32(0)..<256).map { byte in
      switch byte {
      case 33...126, 161...172, 174...255: return byte
      default:
        defer { next += 1 }
        return next
      }
    }
  }()

  /// The byte of each scalar below U+0144, or nil where the scalar stands for none.
  private static let bytes: [UInt8?] = {
    var bytes = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
    return bytes
  }()

  /// The bytes that a token's text stands for, or nil when one of its scalars stands for no byte.
  static func bytes(of text: Span<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var position = 0
    while position < text.count {
      let scalar = text.scalar(at: position)
      guard scalar.value < 0x144, let byte = bytes[Int(scalar.value)] else { return nil }
      result.append(byte)
      position = scalar.end
    }
    return result
  }

  /// The text, in UTF-8, that stands for bytes.
  static func text(of bytes: Span<UInt8>) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for i in bytes.indices {
      let scalar = scalars[Int(bytes[i])]
      if scalar < 0x80 {
        text.append(UInt8(scalar))
      } else {
        text.append(UInt8(0xC0 | scalar >> 6))
        text.append(UInt8(0x80 | scalar & 0x3F))
      }
    }
    return text
  }
}
