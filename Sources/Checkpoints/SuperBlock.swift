internal import Kernels

/// Blocks of 256 columns of llama.cpp's K types and lattice types.
///
/// A block has one or two factors in half precision. Each of its groups has a small integer for its scale
/// and, in the types with minima, another for its bias: `scale = d · s`, `bias = -dmin · m`. In the types
/// without minima a code stands for zero: `bias = -zero · scale`. In a lattice type the codes of 8 columns
/// are a point of a table, and `scale = d · (2s + 1) / 8`. `Formats/packed.md` has the bytes.
public enum SuperBlock: String, Sendable, Hashable, CaseIterable {
  /// Codes of 2 bits in groups of 16; scales and minima of 4 bits. 2.625 bits per weight.
  case q2K = "q2_k"
  /// Codes of 3 bits in groups of 16, the zero is 4; scales of 6 bits with a sign. 3.4375 bits per weight.
  case q3K = "q3_k"
  /// Codes of 4 bits in groups of 32; scales and minima of 6 bits. 4.5 bits per weight.
  case q4K = "q4_k"
  /// Codes of 5 bits in groups of 32; scales and minima as in `q4K`. 5.5 bits per weight.
  case q5K = "q5_k"
  /// Codes of 6 bits in groups of 16, the zero is 32; scales of 8 bits with a sign. 6.5625 bits per weight.
  case q6K = "q6_k"
  /// Points of 8 codes with signs, 2 bits per code, in groups of 16; scales of 4 bits. 2.3125 bits per weight.
  case iq2XS = "iq2_xs"
  /// Points of 8 codes with signs, 2.25 bits per code, in groups of 16; scales of 4 bits. 2.5625 bits per
  /// weight.
  case iq2S = "iq2_s"

  /// The types whose codes are free: any integers of their width.
  public static let kTypes = allCases.filter { $0.lattice == nil }

  /// The columns of a block.
  public static let columnCount = 256

  /// The width of a code as it is stated; points take as many whole bits per weight.
  public var bits: Int {
    switch self {
    case .q2K, .iq2XS, .iq2S: 2
    case .q3K: 3
    case .q4K: 4
    case .q5K: 5
    case .q6K: 6
    }
  }

  /// The table whose points are the codes; nil when codes are free.
  package var lattice: LatticeTable? {
    switch self {
    case .q2K, .q3K, .q4K, .q5K, .q6K: nil
    case .iq2XS: .iq2XS
    case .iq2S: .iq2S
    }
  }

  /// The width of a code in memory, where points are codes of 8 bits.
  package var codeBits: Int { lattice == nil ? bits : 8 }

  /// The stored bytes of a block's codes.
  package var codeByteCount: Int { lattice?.codeByteCount ?? Self.columnCount * bits / 8 }

  /// The columns of a group.
  public var groupSize: Int {
    switch self {
    case .q2K, .q3K, .q6K, .iq2XS, .iq2S: 16
    case .q4K, .q5K: 32
    }
  }

  /// The groups of a block.
  package var groupCount: Int { Self.columnCount / groupSize }

  /// The code of zero; nil for a type with minima.
  package var zeroPoint: Int? {
    switch self {
    case .q2K, .q4K, .q5K: nil
    case .q3K: 4
    case .q6K: 32
    case .iq2XS, .iq2S: LatticeTable.zeroCode
    }
  }

  /// The integers that a group's scale may have.
  package var scaleSteps: ClosedRange<Int> {
    switch self {
    case .q2K, .iq2XS, .iq2S: 0...15
    case .q3K: -32...31
    case .q4K, .q5K: 0...63
    case .q6K: -128...127
    }
  }

  /// The multiple of d that an integer stands for: itself, or in a lattice type an odd number of eighths.
  package func multiple(ofStep step: Int) -> Float {
    lattice == nil ? Float(step) : Float(2 * step + 1) / 8
  }

  /// The integer that stands for a multiple of d.
  package func step(ofMultiple multiple: Float) -> Int {
    lattice == nil ? Int(multiple) : Int(multiple * 4)
  }

  /// The integers that a group's bias may have, for a type with minima.
  package var biasSteps: ClosedRange<Int> { 0...scaleSteps.upperBound }

  /// The bytes of a block's small integers.
  package var stepByteCount: Int {
    switch self {
    case .q2K, .q6K: 16
    case .q3K, .q4K, .q5K: 12
    case .iq2XS, .iq2S: 8
    }
  }

  /// The factors of a block: d, and for a type with minima dmin.
  package var factorCount: Int { zeroPoint == nil ? 2 : 1 }

  /// The bits per weight, all tables included.
  public var bitsPerWeight: Double {
    Double(8 * (codeByteCount + stepByteCount) + 16 * factorCount) / Double(Self.columnCount)
  }
}

extension SuperBlock {
  /// Reads the small integers of a block.
  ///
  /// - Parameters:
  ///   - bytes: The bytes of the block's integers.
  ///   - group: The group in the block.
  /// - Returns: The integers of scale and bias; the latter 0 for a type without minima.
  func steps(_ bytes: RawSpan, group: Int) -> (scale: Int, bias: Int) {
    func byte(_ index: Int) -> Int { Int(bytes.byte(at: index)) }
    switch self {
    case .q2K: return (byte(group) & 15, byte(group) >> 4)
    case .q3K:
      let lower = byte(group % 8) >> (group / 8 * 4) & 15
      let upper = byte(8 + group % 4) >> (group / 4 * 2) & 3
      return ((lower | upper << 4) - 32, 0)
    case .q4K, .q5K:
      let (scale, bias) = (byte(group % 4), byte(4 + group % 4))
      guard group >= 4 else { return (scale & 63, bias & 63) }
      return (byte(4 + group) & 15 | (scale >> 6) << 4, byte(4 + group) >> 4 | (bias >> 6) << 4)
    case .q6K: return (Int(Int8(bitPattern: bytes.byte(at: group))), 0)
    case .iq2XS, .iq2S: return (byte(group / 2) >> (group % 2 * 4) & 15, 0)
    }
  }

  /// Writes the small integers of a block.
  ///
  /// - Parameters:
  ///   - scale: The integer of each group's scale, in `scaleSteps`.
  ///   - bias: The integer of each group's bias, in `biasSteps`; not called for a type without minima.
  ///   - bytes: Gets the bytes, which are zero before.
  func store(
    scale: (_ group: Int) -> Int, bias: (_ group: Int) -> Int, into bytes: inout MutableSpan<UInt8>
  ) {
    func add(_ value: Int, at index: Int) { bytes[index] |= UInt8(truncatingIfNeeded: value) }
    for group in 0..<groupCount {
      switch self {
      case .q2K: add(scale(group) | bias(group) << 4, at: group)
      case .q3K:
        let value = scale(group) + 32
        add((value & 15) << (group / 8 * 4), at: group % 8)
        add((value >> 4) << (group / 4 * 2), at: 8 + group % 4)
      case .q6K: add(scale(group), at: group)
      case .iq2XS, .iq2S: add(scale(group) << (group % 2 * 4), at: group / 2)
      case .q4K, .q5K:
        let (scale, bias) = (scale(group), bias(group))
        guard group >= 4 else {
          add(scale, at: group)
          add(bias, at: 4 + group)
          continue
        }
        add(scale & 15 | (bias & 15) << 4, at: 4 + group)
        add((scale >> 4) << 6, at: group % 4)
        add((bias >> 4) << 6, at: 4 + group % 4)
      }
    }
  }
}

/// The tables of a weight in super-blocks, row by row.
package struct BlockTables: Sendable, Equatable {
  /// The type.
  package let kind: SuperBlock
  /// The multiples of d that the scales are, `[rows, groups]`: integers, or in a lattice type odd eighths.
  package var scaleSteps: [Float]
  /// The integers of the biases, `[rows, groups]`, as floats; zeros for a type without minima.
  package var biasSteps: [Float]
  /// d of each block, `[rows, blocks]`.
  package var scaleFactors: [Float]
  /// dmin of each block, `[rows, blocks]`; zeros for a type without minima.
  package var biasFactors: [Float]

  /// Joins the parts.
  package init(
    kind: SuperBlock, scaleSteps: [Float], biasSteps: [Float], scaleFactors: [Float], biasFactors: [Float]
  ) {
    let groups = scaleFactors.count * kind.groupCount
    precondition(
      scaleSteps.count == groups && biasSteps.count == groups && biasFactors.count == scaleFactors.count,
      "\(scaleSteps.count) and \(biasSteps.count) steps for \(scaleFactors.count) blocks")
    self.kind = kind
    self.scaleSteps = scaleSteps
    self.biasSteps = biasSteps
    self.scaleFactors = scaleFactors
    self.biasFactors = biasFactors
  }

  /// Reads tables as they are stored.
  ///
  /// - Parameters:
  ///   - kind: The type.
  ///   - steps: `[rows, blocks]` times the bytes of a block's integers.
  ///   - factors: `[rows, blocks, factors]`.
  package init(kind: SuperBlock, steps: RawSpan, factors: [Float]) {
    let (count, blockCount) = (kind.stepByteCount, factors.count / kind.factorCount)
    var scaleSteps = [Float](repeating: 0, count: blockCount * kind.groupCount)
    var biasSteps = scaleSteps
    for block in 0..<blockCount {
      let bytes = steps.extracting(block * count..<(block + 1) * count)
      for group in 0..<kind.groupCount {
        let (scale, bias) = kind.steps(bytes, group: group)
        scaleSteps[block * kind.groupCount + group] = kind.multiple(ofStep: scale)
        biasSteps[block * kind.groupCount + group] = Float(bias)
      }
    }
    self.init(
      kind: kind, scaleSteps: scaleSteps, biasSteps: biasSteps,
      scaleFactors: (0..<blockCount).map { factors[$0 * kind.factorCount] },
      biasFactors: (0..<blockCount).map { kind.factorCount == 2 ? factors[$0 * 2 + 1] : 0 })
  }

  /// The integers as they are stored.
  package var stepBytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: scaleFactors.count * kind.stepByteCount)
    var span = bytes.mutableSpan
    for block in scaleFactors.indices {
      let first = block * kind.groupCount
      var part = span.slice(block * kind.stepByteCount..<(block + 1) * kind.stepByteCount)
      kind.store(
        scale: { kind.step(ofMultiple: scaleSteps[first + $0]) }, bias: { Int(biasSteps[first + $0]) },
        into: &part)
    }
    return bytes
  }

  /// The factors as they are stored, `[rows, blocks, factors]`.
  package var factors: [Float] {
    get {
      kind.factorCount == 1
        ? scaleFactors : scaleFactors.indices.flatMap { [scaleFactors[$0], biasFactors[$0]] }
    }
    set {
      for block in scaleFactors.indices {
        scaleFactors[block] = newValue[block * kind.factorCount]
        if kind.factorCount == 2 { biasFactors[block] = newValue[block * 2 + 1] }
      }
    }
  }

  /// The scale of each group, `[rows, groups]`.
  package var scales: [Float] {
    scaleSteps.indices.map { scaleFactors[$0 / kind.groupCount] * scaleSteps[$0] }
  }

  /// The bias of each group, `[rows, groups]`.
  package var biases: [Float] {
    guard let zero = kind.zeroPoint else {
      // Subtracted from zero, so that a minimum of zero gives a bias without a sign.
      return biasSteps.indices.map { 0 - biasFactors[$0 / kind.groupCount] * biasSteps[$0] }
    }
    return scales.map { 0 - Float(zero) * $0 }
  }

  /// Appends the tables of the following rows, of the same type.
  package mutating func append(_ other: BlockTables) {
    scaleSteps += other.scaleSteps
    biasSteps += other.biasSteps
    scaleFactors += other.scaleFactors
    biasFactors += other.biasFactors
  }
}
