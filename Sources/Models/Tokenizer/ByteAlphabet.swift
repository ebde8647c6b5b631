/// The scalars that represent bytes in the texts of byte-level tokens, as in GPT-2.
///
/// `!`…`~`, `¡`…`¬` and `®`…`ÿ` represent the byte of the same value. The other 68 bytes, in order, are
/// U+0100…U+0143; a space is therefore `Ġ`.
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

  /// The byte of each scalar below U+0144, or nil if the scalar represents none.
  private static let bytes: [UInt8?] = {
    var bytes = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
    return bytes
  }()

  /// Returns the bytes that a token's text represents, or nil if one of its scalars represents no byte.
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

  /// Returns the text, in UTF-8, that represents bytes.
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
