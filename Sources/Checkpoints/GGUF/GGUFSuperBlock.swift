import Kernels

/// The parts of a super-block in a block of Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ2_XS or IQ2_S.
///
/// ```
/// byte    0               16          80  82     84
/// Q2_K         steps 16 B     qs 64 B     d   dmin
///
/// byte    0               32          96             108   110
/// Q3_K         hmask 32 B     qs 64 B     steps 12 B     d
///
/// byte    0   2      4              16            144
/// Q4_K      d   dmin     steps 12 B     qs 128 B
///
/// byte    0   2      4              16          48           176
/// Q5_K      d   dmin     steps 12 B     qh 32 B     qs 128 B
///
/// byte    0            128         192           208   210
/// Q6_K      ql 128 B       qh 64 B     steps 16 B     d
///
/// byte    0   2             66           74
/// IQ2_XS    d   points 64 B   steps 8 B
///
/// byte    0   2             74           82
/// IQ2_S     d   points 72 B   steps 8 B
/// ```
///
/// `steps` has the bytes of `SuperBlock`. In Q2_K and Q3_K byte `l` of each 32 of `qs` holds the lower two
/// bits of weights `l`, `l + 32`, `l + 64`, `l + 96` of a half, the first in the lowest bits. The third bit
/// of a code of Q3_K is bit `weight / 32` of `hmask[weight % 32]`. In Q4_K and Q5_K each 32 bytes of `qs`
/// hold the lower four bits of 32 weights in their lower and of the next 32 in their upper halves. The fifth
/// bit of a code of Q5_K is bit `weight / 32` of `qh[weight % 32]`. In each half of a block of Q6_K, `ql[l]`
/// holds the lower four bits of weights `l` and `l + 64` (`l` in 0..<64), and `qh[l]` the upper two of `l`,
/// `l + 32`, `l + 64`, `l + 96` (`l` in 0..<32). The points are the bytes of a packed module's codes.
struct GGUFSuperBlock {
  /// The kind of the super-block.
  let kind: SuperBlock
  /// The bytes of the small integers.
  private let steps: Range<Int>
  /// The bytes of d, and of dmin in a type with minima.
  private let factors: Range<Int>
  /// The offset of the codes' lower bits.
  private let codes: Int
  /// The number of a code's lower bits; 0 for points, which are stored as a packed module's.
  private let bitCount: Int
  /// The offset of the codes' upper bits; nil when there are none.
  private let upperCodes: Int?

  /// Looks up the parts of a kind.
  init(_ kind: SuperBlock) {
    self.kind = kind
    switch kind {
    case .q2K: (steps, factors, codes, bitCount, upperCodes) = (0..<16, 80..<84, 16, 2, nil)
    case .q3K: (steps, factors, codes, bitCount, upperCodes) = (96..<108, 108..<110, 32, 2, 0)
    case .q4K: (steps, factors, codes, bitCount, upperCodes) = (4..<16, 0..<4, 16, 4, nil)
    case .q5K: (steps, factors, codes, bitCount, upperCodes) = (4..<16, 0..<4, 48, 4, 16)
    case .q6K: (steps, factors, codes, bitCount, upperCodes) = (192..<208, 208..<210, 0, 4, 128)
    case .iq2XS: (steps, factors, codes, bitCount, upperCodes) = (66..<74, 0..<2, 2, 0, nil)
    case .iq2S: (steps, factors, codes, bitCount, upperCodes) = (74..<82, 0..<2, 2, 0, nil)
    }
  }

  /// The columns whose codes have the same place in their bytes.
  private static let runLength = 32
  private static let runs = 0..<SuperBlock.columnCount / runLength

  private var byteCount: Int { kind.ggufType.blockByteCount }
  private var mask: UInt8 { 1 << UInt8(bitCount) - 1 }
  private var upperMask: UInt8 { 1 << UInt8(kind.bits - bitCount) - 1 }

  /// Bits of a run's codes: the offset of the first code's byte in a block, and their place in the bytes.
  private struct Place {
    let offset: Int
    let shift: UInt8
  }

  /// The lower bits of a run's codes.
  private func place(ofRun run: Int) -> Place {
    guard kind != .q6K else {
      // Runs of a half: 0 and 2 share bytes, and 1 and 3.
      let (half, inHalf) = run.quotientAndRemainder(dividingBy: 4)
      return Place(
        offset: codes + (2 * half + inHalf % 2) * Self.runLength, shift: UInt8(inHalf / 2 * bitCount))
    }
    let (bytes, inByte) = run.quotientAndRemainder(dividingBy: 8 / bitCount)
    return Place(offset: codes + bytes * Self.runLength, shift: UInt8(inByte * bitCount))
  }

  /// The upper bits of a run's codes; nil when there are none.
  private func upperPlace(ofRun run: Int) -> Place? {
    guard let upperCodes else { return nil }
    let bits = kind.bits - bitCount
    let (bytes, inByte) = run.quotientAndRemainder(dividingBy: 8 / bits)
    return Place(offset: upperCodes + bytes * Self.runLength, shift: UInt8(inByte * bits))
  }

  /// The bytes of a block that are those of a tensor of the packed module; nil for codes in another order.
  private func copied(_ part: ModuleTensor) -> Range<Int>? {
    switch part {
    case .blockSteps: steps
    case .blockFactors: factors
    default: kind.lattice.map { codes..<codes + $0.codeByteCount }
    }
  }

  /// The size of what a block holds of a tensor of the packed module.
  func byteCount(of part: ModuleTensor) -> Int {
    copied(part)?.count ?? kind.codeByteCount
  }

  /// The codes of whole blocks, one per byte, as they are in memory.
  func readCodes(_ blocks: RawSpan, into values: inout MutableSpan<UInt8>) {
    for block in 0..<blocks.byteCount / byteCount {
      let start = block * byteCount
      if let lattice = kind.lattice {
        var part = values.slice(block * SuperBlock.columnCount..<(block + 1) * SuperBlock.columnCount)
        let points = blocks.extracting(start + codes..<start + codes + lattice.codeByteCount)
        lattice.decode(points, into: &part)
        continue
      }
      for run in Self.runs {
        let first = block * SuperBlock.columnCount + run * Self.runLength
        let (lower, upper) = (place(ofRun: run), upperPlace(ofRun: run))
        for l in 0..<Self.runLength {
          values[first + l] = blocks.byte(at: start + lower.offset + l) >> lower.shift & mask
          guard let upper else { continue }
          let bits = blocks.byte(at: start + upper.offset + l) >> upper.shift & upperMask
          values[first + l] |= bits << UInt8(bitCount)
        }
      }
    }
  }

  /// The weights of whole blocks, with the operations of ggml in its order; those of lattices are exact.
  func decode(_ blocks: RawSpan, into values: inout MutableSpan<Float>) {
    var codes = [UInt8](repeating: 0, count: SuperBlock.columnCount)
    let zero = Int32(kind.zeroPoint ?? 0)
    for block in 0..<blocks.byteCount / byteCount {
      let bytes = blocks.extracting(block * byteCount..<(block + 1) * byteCount)
      var span = codes.mutableSpan
      readCodes(bytes, into: &span)
      let d = bytes.half(at: factors.lowerBound)
      let dmin = kind.zeroPoint == nil ? bytes.half(at: factors.lowerBound + 2) : 0
      for group in 0..<kind.groupCount {
        let (scale, bias) = kind.steps(bytes.extracting(steps), group: group)
        let (dl, ml) = (d * kind.multiple(ofStep: scale), dmin * Float(bias))
        for i in group * kind.groupSize..<(group + 1) * kind.groupSize {
          values[block * SuperBlock.columnCount + i] = dl * Float(Int32(codes[i]) - zero) - ml
        }
      }
    }
  }
}

/// Rows of blocks from and to rows of a packed module's tensors, those of `QuantizedLayout.partKinds`.
///
/// The order of the columns in the file keeps those of a block together.
extension GGUFSuperBlock {
  /// Takes a row of a tensor out of a row of blocks.
  ///
  /// - Parameters:
  ///   - part: The tensor.
  ///   - blocks: The blocks of the row.
  ///   - order: The order of the columns in the file.
  ///   - row: Gets the row of the tensor.
  func read(
    _ part: ModuleTensor, of blocks: RawSpan, order: GGUFRowOrder, into row: inout MutableSpan<UInt8>
  ) {
    let size = SuperBlock.columnCount
    guard let copied = copied(part) else {
      var codes = [UInt8](repeating: 0, count: row.count * 8 / kind.bits)
      var span = codes.mutableSpan
      readCodes(blocks, into: &span)
      if order != .plain { codes = codes.indices.map { codes[order.place(of: $0)] } }
      return packCodes(codes.span, bits: kind.bits, into: &row)
    }
    for block in 0..<blocks.byteCount / byteCount {
      let start = order.place(of: block * size) / size * byteCount + copied.lowerBound
      for i in 0..<copied.count { row[block * copied.count + i] = blocks.byte(at: start + i) }
    }
  }

  /// Puts a row of a tensor into a row of blocks.
  ///
  /// - Parameters:
  ///   - part: The tensor.
  ///   - row: The row of the tensor.
  ///   - order: The order of the columns in the file.
  ///   - blocks: Gets the codes or the table; its other bytes stay.
  func write(
    _ part: ModuleTensor, _ row: RawSpan, order: GGUFRowOrder, into blocks: inout MutableSpan<UInt8>
  ) {
    let size = SuperBlock.columnCount
    let isCopied = copied(part) != nil
    var codes = [UInt8](repeating: 0, count: isCopied ? 0 : row.byteCount * 8 / kind.bits)
    var span = codes.mutableSpan
    if !isCopied { unpackCodes(row, bits: kind.bits, into: &span) }
    for block in 0..<blocks.count / byteCount {
      let source = order.source(of: block * size) / size
      var target = blocks.slice(block * byteCount..<(block + 1) * byteCount)
      if let copied = copied(part) {
        for i in 0..<copied.count {
          target[copied.lowerBound + i] = row.byte(at: source * copied.count + i)
        }
      } else {
        write(codes.span.extracting(source * size..<(source + 1) * size), into: &target)
      }
    }
  }

  /// Writes the codes of a block, one per byte.
  private func write(_ codes: Span<UInt8>, into block: inout MutableSpan<UInt8>) {
    for run in Self.runs {
      for l in 0..<Self.runLength {
        let code = codes[run * Self.runLength + l]
        put(code & mask, at: place(ofRun: run), l, into: &block)
        if let upper = upperPlace(ofRun: run) { put(code >> UInt8(bitCount), at: upper, l, into: &block) }
      }
    }
  }

  /// Adds bits to a byte, which the first run of those that share it begins.
  private func put(_ bits: UInt8, at place: Place, _ l: Int, into block: inout MutableSpan<UInt8>) {
    let others = place.shift == 0 ? 0 : block[place.offset + l]
    block[place.offset + l] = others | bits << place.shift
  }
}

extension SuperBlock {
  /// The type of a GGUF tensor with the same blocks.
  var ggufType: GGUFTensorType {
    switch self {
    case .q2K: .q2K
    case .q3K: .q3K
    case .q4K: .q4K
    case .q5K: .q5K
    case .q6K: .q6K
    case .iq2XS: .iq2XS
    case .iq2S: .iq2S
    }
  }
}

extension GGUFTensorType {
  /// The kind of the super-blocks; nil for a type without them, or with one that modules do not have.
  var superBlock: SuperBlock? { SuperBlock.allCases.first { $0.ggufType == self } }
}
