import Kernels
import Testing

@Suite struct DequantizeTests {
  private static let shapes: [(bits: Int, groupSize: Int)] = [2, 3, 4, 5, 6, 8].flatMap { bits in
    [8, 16, 24, 32, 64, 128].map { (bits, $0) }
  }

  /// Three rows of three groups, with scales of both signs and one that is subnormal.
  private struct Rows {
    let columnCount: Int
    let codes: [UInt8]
    var scales = randomFloats(9, seed: 2)
    let biases = randomFloats(9, seed: 3)

    init(bits: Int, groupSize: Int) {
      columnCount = 3 * groupSize
      codes = randomBytes(3 * columnCount * bits / 8, seed: 1)
      scales[4] = 0x1p-131
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `computes the bits of the plain loop`(set: InstructionSet, shape: (bits: Int, groupSize: Int)) {
    let rows = Rows(bits: shape.bits, groupSize: shape.groupSize)
    for groups in [0..<3, 0..<1, 1..<3, 2..<3] {
      let width = groups.count * shape.groupSize
      var (actual, expected) = (
        [Float](repeating: 7, count: 3 * width), [Float](repeating: 0, count: 3 * width)
      )
      var actualSpan = actual.mutableSpan
      dequantize(
        codes: rows.codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
        columnCount: rows.columnCount, scales: rows.scales.span, biases: rows.biases.span, groups: groups,
        into: &actualSpan, on: set)
      var expectedSpan = expected.mutableSpan
      dequantizeReference(
        codes: rows.codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
        columnCount: rows.columnCount, scales: rows.scales.span, biases: rows.biases.span, groups: groups,
        into: &expectedSpan)
      #expect(bits(actual) == bits(expected), "groups \(groups)")
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `computes the rounded bits of the plain loop`(
    set: InstructionSet, shape: (bits: Int, groupSize: Int)
  ) {
    // Four groups have a table of their own; a row of eleven ends within one, and an odd group of 16 within a
    // vector.
    let columnCount = 11 * shape.groupSize
    let codes = randomBytes(2 * columnCount * shape.bits / 8, seed: 1)
    var scales = randomFloats(22, seed: 2)
    let biases = randomFloats(22, seed: 3)
    (scales[4], scales[5]) = (0x1p-131, .nan)
    for groups in [0..<11, 0..<8, 3..<9, 4..<5, 5..<8] {
      let width = groups.count * shape.groupSize
      var actual = [UInt8](repeating: 7, count: 2 * 2 * width)
      var actualSpan = actual.mutableSpan
      dequantizeToBF16(
        codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize, columnCount: columnCount,
        scales: scales.span, biases: biases.span, groups: groups, into: &actualSpan, on: set)
      var values = [Float](repeating: 0, count: 2 * width)
      var valuesSpan = values.mutableSpan
      dequantizeReference(
        codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize, columnCount: columnCount,
        scales: scales.span, biases: biases.span, groups: groups, into: &valuesSpan)
      var expected = [UInt8](repeating: 0, count: actual.count)
      var expectedSpan = expected.mutableSpan
      narrowReference(values.span, to: .bf16, into: &expectedSpan)
      #expect(actual == expected, "groups \(groups)")
    }
  }

  @Test(arguments: InstructionSet.supported, [2, 3, 4, 5, 6, 8])
  func `reads codes at odd addresses, up to the last byte`(set: InstructionSet, bits: Int) {
    let rows = Rows(bits: bits, groupSize: 8)
    let shifted = [0xff] + rows.codes
    var (actual, expected) = ([Float](repeating: 0, count: 72), [Float](repeating: 0, count: 72))
    var actualSpan = actual.mutableSpan
    dequantize(
      codes: shifted.span.bytes.extracting(1..<shifted.count), bits: bits, groupSize: 8, columnCount: 24,
      scales: rows.scales.span, biases: rows.biases.span, into: &actualSpan, on: set)
    var expectedSpan = expected.mutableSpan
    dequantize(
      codes: rows.codes.span.bytes, bits: bits, groupSize: 8, columnCount: 24, scales: rows.scales.span,
      biases: rows.biases.span, into: &expectedSpan, on: .baseline)
    #expect(actual == expected)
  }

  @Test(arguments: InstructionSet.supported)
  func `gives the values that MLX measured`(set: InstructionSet) {
    let (scales, biases) = ([Float(0.0625)], [Float(-0.09375)])
    let codes: [UInt8] = [0xe4, 0x1b]
    var weights = [Float](repeating: 0, count: 8)
    var span = weights.mutableSpan
    dequantize(
      codes: codes.span.bytes, bits: 2, groupSize: 8, columnCount: 8, scales: scales.span,
      biases: biases.span, into: &span, on: set)
    #expect(weights == [-0.09375, -0.03125, 0.03125, 0.09375, 0.09375, 0.03125, -0.03125, -0.09375])
  }

  @Test func `leaves an empty matrix empty`() {
    let (codes, tables): ([UInt8], [Float]) = ([], [])
    var weights: [Float] = []
    var span = weights.mutableSpan
    dequantize(
      codes: codes.span.bytes, bits: 2, groupSize: 8, columnCount: 8, scales: tables.span,
      biases: tables.span, into: &span)
    #expect(weights.isEmpty)
  }
}
