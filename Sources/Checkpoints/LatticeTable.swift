package import Kernels

/// The points of a lattice type of llama.cpp: 8 weights at once get magnitudes that stand in a table, and
/// signs.
///
/// In memory a weight has a code of 8 bits: 128 plus or minus its magnitude. A file stores for 8 weights the
/// index of their point and their signs; `Formats/packed.md` has the bytes.
package struct LatticeTable: Sendable {
  /// The weights of a point.
  package static let width = LatticeTree.width
  /// The code of zero, which is no weight's.
  package static let zeroCode = 128
  private static let magnitudes: [UInt8] = [8, 25, 43]

  /// IQ2_XS: 512 points, 9 bits of index and 7 of signs; the number of negative weights is even.
  package static let iq2XS = LatticeTable(LatticePoints.iq2XS, isEven: true)
  /// IQ2_S: 1,024 points, 10 bits of index and 8 of signs.
  package static let iq2S = LatticeTable(LatticePoints.iq2S, isEven: false)

  /// The points for a search.
  package let tree: LatticeTree
  /// Whether an even number of the weights of a point is negative.
  private var isEven: Bool { tree.isEven }
  /// The magnitudes of each point, by index.
  private let values: [UInt8]
  /// The index of the point with some magnitudes, by their indices as digits of base 3; -1 for no point.
  private let indices: [Int16]

  private init(_ points: [UInt16], isEven: Bool) {
    tree = LatticeTree(points: points, magnitudes: Self.magnitudes.map { Float($0) }, isEven: isEven)
    values = points.flatMap { point in
      (0..<Self.width).map { Self.magnitudes[LatticeTree.index(in: point, of: $0)] }
    }
    var indices = [Int16](repeating: -1, count: 6561)
    for (index, point) in points.enumerated() {
      let key = (0..<Self.width).reduce(0) { $0 * 3 + LatticeTree.index(in: point, of: $1) }
      indices[key] = Int16(index)
    }
    self.indices = indices
  }

  /// The points of a block.
  private static let pointsPerBlock = SuperBlock.columnCount / width

  /// The bytes of a block's indices and signs.
  package var codeByteCount: Int { isEven ? 2 * Self.pointsPerBlock : 9 * Self.pointsPerBlock / 4 }
}

extension LatticeTable {
  /// The index of a point and the signs of its weights, the first in the lowest bit; a set bit is negative.
  private struct Point {
    let index: Int
    let signs: Int
  }

  /// Reads a point of a block; every value of the bytes is one.
  private func point(_ i: Int, of bytes: RawSpan, from start: Int) -> Point {
    func byte(_ offset: Int) -> Int { Int(bytes.byte(at: start + offset)) }
    guard isEven else {
      let count = Self.pointsPerBlock
      let upper = byte(2 * count + i / 4) >> (2 * (i % 4)) & 3
      return Point(index: byte(i) | upper << 8, signs: byte(count + i))
    }
    let word = byte(2 * i) | byte(2 * i + 1) << 8
    let signs = word >> 9
    return Point(index: word & 511, signs: signs | (signs.nonzeroBitCount & 1) << 7)
  }

  /// Writes a point of a block, whose bytes are zero before.
  private func put(_ point: Point, _ i: Int, into bytes: inout MutableSpan<UInt8>, from start: Int) {
    guard isEven else {
      let count = Self.pointsPerBlock
      bytes[start + i] = UInt8(truncatingIfNeeded: point.index)
      bytes[start + count + i] = UInt8(truncatingIfNeeded: point.signs)
      bytes[start + 2 * count + i / 4] |= UInt8(truncatingIfNeeded: (point.index >> 8) << (2 * (i % 4)))
      return
    }
    let word = point.index | (point.signs & 127) << 9
    bytes[start + 2 * i] = UInt8(truncatingIfNeeded: word)
    bytes[start + 2 * i + 1] = UInt8(truncatingIfNeeded: word >> 8)
  }

  /// Turns stored points into codes.
  ///
  /// - Parameters:
  ///   - bytes: Whole blocks of indices and signs; every value of the bytes is valid.
  ///   - codes: 256 codes for each block.
  package func decode(_ bytes: RawSpan, into codes: inout MutableSpan<UInt8>) {
    let (values, zero) = (values.span, UInt8(Self.zeroCode))
    for block in 0..<bytes.byteCount / codeByteCount {
      for i in 0..<Self.pointsPerBlock {
        let point = point(i, of: bytes, from: block * codeByteCount)
        let first = block * SuperBlock.columnCount + i * Self.width
        for j in 0..<Self.width {
          let magnitude = values[point.index * Self.width + j]
          let isNegative = point.signs >> j & 1 != 0
          codes[first + j] = isNegative ? zero &- magnitude : zero &+ magnitude
        }
      }
    }
  }

  /// Turns codes into stored points.
  ///
  /// - Parameters:
  ///   - codes: Whole blocks of 256 codes.
  ///   - bytes: `codeByteCount` bytes for each block, zero before.
  /// - Returns: The first of the first 8 codes that are no point with its signs; nil when all are.
  package func encode(_ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>) -> Int? {
    for first in stride(from: 0, to: codes.count, by: Self.width) {
      guard let point = point(of: codes, from: first) else { return first }
      let (block, column) = first.quotientAndRemainder(dividingBy: SuperBlock.columnCount)
      put(point, column / Self.width, into: &bytes, from: block * codeByteCount)
    }
    return nil
  }

  /// The point of 8 codes; nil when they are none.
  private func point(of codes: Span<UInt8>, from first: Int) -> Point? {
    var (key, signs) = (0, 0)
    for j in 0..<Self.width {
      let value = Int(codes[first + j]) - Self.zeroCode
      guard let digit = Self.magnitudes.firstIndex(of: UInt8(value.magnitude)) else { return nil }
      key = key * 3 + digit
      if value < 0 { signs |= 1 << j }
    }
    let index = Int(indices[key])
    guard index >= 0, !isEven || signs.nonzeroBitCount % 2 == 0 else { return nil }
    return Point(index: index, signs: signs)
  }
}
