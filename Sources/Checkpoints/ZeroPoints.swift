/// Which codes stand for zero in weights `scale · (code - zero point)`.
///
/// A group has a free scale, and its bias follows from it: `bias = -zero point · scale`. These are the weights
/// of GPTQ, AutoRound and compressed-tensors. `Formats/packed.md` has the bytes.
public enum ZeroPointGrid: String, Sendable, Hashable, CaseIterable {
  /// Each group has a code of its own.
  case zeroPoint = "zero_point"
  /// Each group has 1 or 2 among codes of 2 bits, which GGUF's Q2_0 also holds.
  case portable
  /// All groups have the middle code, `2^(bits - 1)`, which is not stored.
  case symmetric

  /// Whether weights have codes of a width on the grid.
  package func allows(bits: Int) -> Bool { self != .portable || bits == 2 }

  /// The zero points that a group can have.
  package func range(bits: Int) -> ClosedRange<Int> {
    let middle = 1 << (bits - 1)
    return switch self {
    case .zeroPoint: 0...1 << bits - 1
    case .portable: 1...2
    case .symmetric: middle...middle
    }
  }
}

/// The zero points of the groups of some rows.
package struct ZeroPoints: Sendable, Equatable {
  /// Which zero points there can be.
  package let grid: ZeroPointGrid
  /// The width of a code.
  package let bits: Int
  /// The number of groups in a row.
  package let groupsPerRow: Int
  /// `[rows, groups]`.
  package private(set) var values: [UInt8]

  /// Takes zero points, which must be in the grid's range.
  package init(grid: ZeroPointGrid, bits: Int, groupsPerRow: Int, values: [UInt8]) {
    precondition(values.count % max(groupsPerRow, 1) == 0, "\(values.count) in rows of \(groupsPerRow)")
    self.grid = grid
    self.bits = bits
    self.groupsPerRow = groupsPerRow
    self.values = values
  }

  /// The zero points of a grid that stores none.
  init(symmetric bits: Int, groupsPerRow: Int, rows: Int) {
    self.init(
      grid: .symmetric, bits: bits, groupsPerRow: groupsPerRow,
      values: [UInt8](repeating: UInt8(1 << (bits - 1)), count: rows * groupsPerRow))
  }

  /// Reads stored zero points; those that the grid does not have come as they are.
  ///
  /// - Parameters:
  ///   - bytes: `[rows, byteCount(groups, bits)]`.
  ///   - grid: Which zero points there can be.
  ///   - bits: The width of a zero point.
  ///   - groupsPerRow: The number of groups in a row.
  init(stored bytes: RawSpan, grid: ZeroPointGrid, bits: Int, groupsPerRow: Int) {
    let byteCount = Self.byteCount(groups: groupsPerRow, bits: bits)
    let rowCount = bytes.byteCount / max(byteCount, 1)
    var values: [UInt8] = []
    values.reserveCapacity(rowCount * groupsPerRow)
    for row in 0..<rowCount {
      for group in 0..<groupsPerRow {
        let (byte, shift) = (group * bits).quotientAndRemainder(dividingBy: 8)
        let start = row * byteCount + byte
        var field = Int(bytes.byte(at: start))
        if shift + bits > 8 { field |= Int(bytes.byte(at: start + 1)) << 8 }
        values.append(UInt8(field >> shift & (1 << bits - 1)))
      }
    }
    self.init(grid: grid, bits: bits, groupsPerRow: groupsPerRow, values: values)
  }

  /// Whether a file has them.
  package var isStored: Bool { grid != .symmetric }

  /// The bytes of a row of zero points.
  static func byteCount(groups: Int, bits: Int) -> Int { (groups * bits + 7) / 8 }

  /// The zero points as they are stored: those of a row follow each other, lowest bits first, and every row
  /// begins with a byte.
  package var bytes: [UInt8] {
    let byteCount = Self.byteCount(groups: groupsPerRow, bits: bits)
    var bytes = [UInt8](repeating: 0, count: values.count / max(groupsPerRow, 1) * byteCount)
    for (i, value) in values.enumerated() {
      let (row, group) = i.quotientAndRemainder(dividingBy: groupsPerRow)
      let (byte, shift) = (group * bits).quotientAndRemainder(dividingBy: 8)
      let (start, field) = (row * byteCount + byte, Int(value) << shift)
      bytes[start] |= UInt8(truncatingIfNeeded: field)
      if shift + bits > 8 { bytes[start + 1] |= UInt8(truncatingIfNeeded: field >> 8) }
    }
    return bytes
  }

  /// The biases that follow from scales, `[rows, groups]`.
  package func biases(of scales: [Float]) -> [Float] {
    zip(scales, values).map { Self.bias(scale: $0, zeroPoint: Float($1)) }
  }

  /// The bias of a group; subtracted from zero, so that a scale of zero gives a bias without a sign.
  package static func bias(scale: Float, zeroPoint: Float) -> Float { 0 - zeroPoint * scale }

  /// Appends the zero points of the following rows, of the same grid.
  package mutating func append(_ other: ZeroPoints) { values += other.values }
}
