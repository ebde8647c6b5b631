/// Block types whose weights are `code * scale + bias`, with the tables that a packed module needs.
///
/// | type | codes | scale | bias |
/// | --- | --- | --- | --- |
/// | Q4_0 | 0…15 | d | -8 d |
/// | Q4_1 | 0…15 | d | m |
/// | Q5_0 | 0…31 | d | -16 d |
/// | Q5_1 | 0…31 | d | m |
/// | Q8_0 | the signed byte + 128, 0…255 | d | -128 d |
/// | Q2_0, TQ2_0 | 0…3 | d | -d |
/// | Q1_0 | 0, 1 | 2 d | -d |
///
/// With the codes in the opposite order and `-d`, a type without `m` also has the bias of its mirrored zero:
/// codes 0…3 with the zero 2 are codes 3…0 with the zero 1.
///
/// `d` and `m` are half floats and a code has at most 8 bits, so products and sums are exact in single
/// precision. A packed module therefore has exactly the weights of the blocks.
struct GGUFCodes {
  /// The type.
  let type: GGUFTensorType
  /// The greatest code that a block holds.
  let greatestCode: Int
  /// The code widths of modules that can be written as this type; a module that is read has the last one.
  let moduleBits: ClosedRange<Int>
  /// The code that stands for zero, in Q1_0 half of one; nil when a block has a bias of its own, `m`.
  let zeroPoint: Float?
  /// The offset of the scale in a block.
  private let scaleOffset: Int
  /// The scale as a multiple of `d`.
  private var scaleMultiple: Float { type == .q1_0 ? 2 : 1 }

  /// Returns nil for a type that is not of this kind.
  init?(_ type: GGUFTensorType) {
    self.type = type
    switch type {
    case .q4_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (15, 4...4, 8, 0)
    case .q4_1: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (15, 2...4, nil, 0)
    case .q5_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (31, 5...8, 16, 0)
    case .q5_1: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (31, 5...8, nil, 0)
    case .q8_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (255, 8...8, 128, 0)
    case .q2_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (3, 2...2, 1, 0)
    case .q1_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (1, 2...2, 0.5, 0)
    case .tq2_0: (greatestCode, moduleBits, zeroPoint, scaleOffset) = (3, 2...2, 1, 64)
    default: return nil
    }
  }

  /// The code that stands for zero when the codes are in the opposite order.
  var mirroredZeroPoint: Float? { zeroPoint.map { Float(greatestCode) - $0 } }

  /// Whether a group is held with its codes in the opposite order: its bias is that of the mirrored zero.
  func isMirrored(scale: Float, bias: Float) -> Bool {
    guard let zeroPoint, let mirroredZeroPoint else { return false }
    return bias != 0 - zeroPoint * scale && bias == 0 - mirroredZeroPoint * scale
  }

  /// The bytes of a block that belong to a tensor of the packed module.
  func byteCount(of kind: ModuleTensor) -> Int {
    let biasByteCount = zeroPoint == nil ? 2 : 0
    switch kind {
    case .scales: return 2
    case .biases: return biasByteCount
    default: return type.blockByteCount - 2 - biasByteCount
    }
  }

  /// The bits of the table values of a block, which repeat within a group.
  func tableBits(_ row: RawSpan, block: Int) -> UInt32 {
    let start = block * type.blockByteCount + scaleOffset
    return zeroPoint == nil ? row.integer(at: start) : UInt32(row.integer(at: start, as: UInt16.self))
  }

  /// The scale of a block.
  func scale(_ row: RawSpan, block: Int) -> Float {
    scaleMultiple * row.half(at: block * type.blockByteCount + scaleOffset)
  }

  /// The bias of a block.
  func bias(_ row: RawSpan, block: Int) -> Float {
    guard let zeroPoint else { return row.half(at: block * type.blockByteCount + 2) }
    // Subtracted from zero, so that a scale of zero gives a bias without a sign.
    return 0 - zeroPoint * scale(row, block: block)
  }

  /// The codes of a row, one per byte.
  func read(_ row: RawSpan, into codes: inout MutableSpan<UInt8>) {
    for block in 0..<row.byteCount / type.blockByteCount {
      let start = block * type.blockByteCount
      let first = block * type.blockElementCount
      switch type {
      case .q4_0: readNibbles(row, at: start + 2, into: &codes, first)
      case .q4_1: readNibbles(row, at: start + 4, into: &codes, first)
      case .q5_0:
        readNibbles(row, at: start + 6, into: &codes, first)
        addHighBits(row.integer(at: start + 2), to: &codes, first)
      case .q5_1:
        readNibbles(row, at: start + 8, into: &codes, first)
        addHighBits(row.integer(at: start + 4), to: &codes, first)
      case .q8_0:
        for i in 0..<32 { codes[first + i] = row.byte(at: start + 2 + i) &+ 128 }
      case .q1_0:
        for i in 0..<128 { codes[first + i] = row.byte(at: start + 2 + i / 8) >> UInt8(i % 8) & 1 }
      case .q2_0:
        for i in 0..<64 { codes[first + i] = row.byte(at: start + 2 + i / 4) >> UInt8(i % 4 * 2) & 3 }
      default:
        for i in 0..<256 {
          codes[first + i] = row.byte(at: start + i / 128 * 32 + i % 32) >> UInt8(i % 128 / 32 * 2) & 3
        }
      }
    }
  }

  /// Codes `j` and `j + 16` share a byte, the first in its low half.
  private func readNibbles(_ row: RawSpan, at start: Int, into codes: inout MutableSpan<UInt8>, _ first: Int)
  {
    for j in 0..<16 {
      let byte = row.byte(at: start + j)
      codes[first + j] = byte & 15
      codes[first + j + 16] = byte >> 4
    }
  }

  /// Bit 4 of code `i` is bit `i` of a word.
  private func addHighBits(_ bits: UInt32, to codes: inout MutableSpan<UInt8>, _ first: Int) {
    for i in 0..<32 { codes[first + i] |= UInt8(bits >> UInt32(i) & 1) << 4 }
  }
}
