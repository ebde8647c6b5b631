// Blocks whose weights are points of a table, with signs or a shift.

/// The points of a type as floats.
private struct PointTable {
  /// The weights of a point.
  let width: Int
  /// The weights of all points, by index.
  let values: [Float]

  /// - Parameters:
  ///   - points: Words with the indices of a point's weights in `numbers`, the first in the lowest bits.
  ///   - width: The weights of a point, which share the bits of a word equally.
  ///   - numbers: What the indices stand for.
  init(_ points: [UInt16], width: Int, numbers: [Float]) {
    self.width = width
    let bits = UInt16(16 / width)
    values = points.flatMap { point in
      (0..<UInt16(width)).map { numbers[Int(point >> ($0 * bits) & (1 << bits - 1))] }
    }
  }

  static let iq2XXS = PointTable(LatticePoints.iq2XXS, width: 8, numbers: [8, 25, 43])
  static let iq3XXS = PointTable(
    LatticePoints.iq3XXS, width: 4, numbers: [4, 12, 20, 28, 36, 44, 52, 62])
  static let iq3S = PointTable(LatticePoints.iq3S, width: 4, numbers: [1, 3, 5, 7, 9, 11, 13, 15])
  static let iq1 = PointTable(LatticePoints.iq1, width: 8, numbers: [-1, 0, 1])

  /// Writes the weights of a point; a set bit of `signs`, the first in the lowest, negates.
  func write(
    _ index: Int, scale: Float, signs: UInt8, into values: inout MutableSpan<Float>, at first: Int
  ) {
    let points = self.values.span
    for j in 0..<width {
      let value = scale * points[index * width + j]
      values[first + j] = signs >> UInt8(j) & 1 == 0 ? value : -value
    }
  }

  /// Writes the weights of a point, which are moved before they are scaled.
  func write(
    _ index: Int, scale: Float, shift: Float, into values: inout MutableSpan<Float>, at first: Int
  ) {
    let points = self.values.span
    for j in 0..<width { values[first + j] = scale * (points[index * width + j] + shift) }
  }
}

extension PointTable {
  /// Writes 32 weights whose scale and signs share a word: 7 bits with the signs of the first seven of each 8
  /// weights, of which an even number is negative, and four bits of scale.
  ///
  /// - Parameters:
  ///   - indices: The bytes of the points' indices.
  ///   - word: The word.
  ///   - unit: Twice the least scale.
  ///   - values: Where the weights go.
  ///   - first: The index of the first.
  fileprivate func write(
    _ indices: RawSpan, _ word: UInt32, unit: Float, into values: inout MutableSpan<Float>, at first: Int
  ) {
    let scale = unit * (0.5 + Float(word >> 28))
    for i in 0..<indices.byteCount {
      let column = i * width
      let bits = UInt8(truncatingIfNeeded: word >> UInt32(column / 8 * 7)) & 127
      let signs = bits | UInt8(bits.nonzeroBitCount & 1) << 7
      write(
        Int(indices.byte(at: i)), scale: scale, signs: signs >> UInt8(column % 8), into: &values,
        at: first + column)
    }
  }
}

/// ```
/// byte 0   2                          66
///      d   8 x { 4 indices, word }        w = ±(d / 4 * (0.5 + scale)) * magnitude
/// ```
func decodeIQ2_XXS(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 66 {
    let unit = 0.25 * bytes.half(at: 66 * block)
    for group in 0..<8 {
      let start = 66 * block + 2 + 8 * group
      PointTable.iq2XXS.write(
        bytes.extracting(start..<start + 4), bytes.integer(at: start + 4), unit: unit, into: &values,
        at: 256 * block + 32 * group)
    }
  }
}

/// ```
/// byte 0   2              66         98
///      d   64 indices     8 words        w = ±(d / 2 * (0.5 + scale)) * magnitude
/// ```
///
/// A point has 4 weights.
func decodeIQ3_XXS(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 98 {
    let start = 98 * block
    let unit = 0.5 * bytes.half(at: start)
    for group in 0..<8 {
      let indices = start + 2 + 8 * group
      PointTable.iq3XXS.write(
        bytes.extracting(indices..<indices + 8), bytes.integer(at: start + 66 + 4 * group), unit: unit,
        into: &values, at: 256 * block + 32 * group)
    }
  }
}

/// ```
/// byte 0   2              66         74           106          110
///      d   64 indices     qh 8 B     signs 32 B   scales 4 B        w = ±(d * (2 scale + 1)) * magnitude
/// ```
///
/// A point has 4 weights; bit 8 of its index is a bit of `qh`, in order. A scale of 4 bits is that of 32
/// weights, the first in the lower half of a byte.
func decodeIQ3_S(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  let table = PointTable.iq3S
  for block in 0..<bytes.byteCount / 110 {
    let start = 110 * block
    let d = bytes.half(at: start)
    for group in 0..<8 {
      let code = bytes.byte(at: start + 106 + group / 2) >> UInt8(group % 2 * 4) & 15
      let scale = d * Float(2 * Int32(code) + 1)
      let upper = Int(bytes.byte(at: start + 66 + group))
      for l in 0..<8 {
        let signs = bytes.byte(at: start + 74 + 4 * group + l / 2) >> UInt8(4 * (l % 2))
        table.write(
          Int(bytes.byte(at: start + 2 + 8 * group + l)) | (upper >> l & 1) << 8, scale: scale, signs: signs,
          into: &values, at: 256 * block + 32 * group + 4 * l)
      }
    }
  }
}

/// What the weights of a point of IQ1_S and IQ1_M are moved by, up or down.
private let oneBitShift: Float = 0.125

/// ```
/// byte 0   2              34            50
///      d   32 indices     qh 8 x 16 b       w = (d * (2 scale + 1)) * (point ± 1/8)
/// ```
///
/// For 32 weights `qh` has bits 8 to 10 of the indices of four points, 3 bits each, a scale of 3 bits, and a
/// bit that is set where the points are moved down.
func decodeIQ1_S(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  let table = PointTable.iq1
  for block in 0..<bytes.byteCount / 50 {
    let start = 50 * block
    let d = bytes.half(at: start)
    for group in 0..<8 {
      let qh: UInt16 = bytes.integer(at: start + 34 + 2 * group)
      let scale = d * Float(2 * Int32(qh >> 12 & 7) + 1)
      for l in 0..<4 {
        let upper = Int(qh >> UInt16(3 * l) & 7)
        table.write(
          Int(bytes.byte(at: start + 2 + 4 * group + l)) | upper << 8, scale: scale,
          shift: qh >> 15 == 0 ? oneBitShift : -oneBitShift,
          into: &values, at: 256 * block + 32 * group + 8 * l)
      }
    }
  }
}

/// ```
/// byte 0              32         48                56
///      32 indices     qh 16 B    scales 4 x 16 b       w = (d * (2 scale + 1)) * (point ± 1/8)
/// ```
///
/// A point has half a byte of `qh`: bits 8 to 10 of its index, and a bit that is set where it is moved down.
/// The lower 12 bits of a word of `scales` are those of four pairs of points, 3 bits each; the upper four bits
/// of the words are those of `d`, the lowest first.
func decodeIQ1_M(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  let table = PointTable.iq1
  for block in 0..<bytes.byteCount / 56 {
    let start = 56 * block
    func word(_ i: Int) -> UInt16 { bytes.integer(at: start + 48 + 2 * i) }
    let d = float(ofHalf: (0..<4).reduce(0) { $0 | (word($1) >> 12) << UInt16(4 * $1) })
    for i in 0..<32 {
      let code = word(i / 8) >> UInt16(3 * (i % 8 / 2)) & 7
      let upper = bytes.byte(at: start + 32 + i / 2) >> UInt8(4 * (i % 2)) & 15
      table.write(
        Int(bytes.byte(at: start + i)) | Int(upper & 7) << 8, scale: d * Float(2 * Int32(code) + 1),
        shift: upper >> 3 == 0 ? oneBitShift : -oneBitShift, into: &values, at: 256 * block + 8 * i)
    }
  }
}
