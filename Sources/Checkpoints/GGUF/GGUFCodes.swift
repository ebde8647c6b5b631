/// Block types whose weights are a code times a scale plus a bias, with the tables a packed module needs.
///
/// | type | codes | scale | bias |
/// | --- | --- | --- | --- |
/// | Q4_1 | 0…15 | d | m |
/// | Q2_0, TQ2_0 | 0…3 | d | -d |
/// | Q8_0 | the signed byte + 128, 0…255 | d | -128 d |
struct GGUFCodes {
  private let type: GGUFTensorType

  /// Nil for a type that is not of this kind.
  init?(_ type: GGUFTensorType) {
    guard [.q4_1, .q2_0, .tq2_0, .q8_0].contains(type) else { return nil }
    self.type = type
  }

  /// Whether a tensor of this type becomes a packed module without being told to.
  var isTwoBit: Bool { type == .q2_0 || type == .tq2_0 }

  /// Where the scale is in a block.
  private var scaleOffset: Int { type == .tq2_0 ? 64 : 0 }

  /// The bits of the table values of a block, which repeat within a group.
  func tableBits(_ row: RawSpan, block: Int) -> UInt32 {
    let start = block * type.blockByteCount + scaleOffset
    return type == .q4_1 ? row.integer(at: start) : UInt32(row.integer(at: start, as: UInt16.self))
  }

  /// The scale of a block.
  func scale(_ row: RawSpan, block: Int) -> Float {
    row.half(at: block * type.blockByteCount + scaleOffset)
  }

  /// The bias of a block.
  func bias(_ row: RawSpan, block: Int) -> Float {
    // Subtracted from zero, so that a scale of zero gives a bias without a sign.
    switch type {
    case .q4_1: row.half(at: block * type.blockByteCount + 2)
    case .q8_0: 0 - 128 * scale(row, block: block)
    default: 0 - scale(row, block: block)
    }
  }

  /// The codes of a row, one a byte.
  func read(_ row: RawSpan, into codes: inout MutableSpan<UInt8>) {
    for block in 0..<row.byteCount / type.blockByteCount {
      let start = block * type.blockByteCount
      let first = block * type.blockElementCount
      switch type {
      case .q4_1:
        for j in 0..<16 {
          let byte = row.byte(at: start + 4 + j)
          codes[first + j] = byte & 15
          codes[first + j + 16] = byte >> 4
        }
      case .q8_0:
        for i in 0..<32 { codes[first + i] = row.byte(at: start + 2 + i) &+ 128 }
      case .q2_0:
        for i in 0..<64 { codes[first + i] = row.byte(at: start + 2 + i / 4) >> UInt8(i % 4 * 2) & 3 }
      default:
        for i in 0..<256 {
          codes[first + i] = row.byte(at: start + i / 128 * 32 + i % 32) >> UInt8(i % 128 / 32 * 2) & 3
        }
      }
    }
  }
}
