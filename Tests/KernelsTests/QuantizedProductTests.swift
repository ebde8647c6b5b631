import Kernels
import Testing

@Suite struct QuantizedProductTests {
  private static let shapes: [(bits: Int, groupSize: Int)] = [2, 3, 4, 5, 6, 8].flatMap { bits in
    [8, 24, 32, 64, 128].map { (bits, $0) }
  }

  /// Each of the `n` terms of a sum is rounded a few times by 2^-24, relative to the sum of their sizes.
  private func tolerance(_ terms: Int, size: Float) -> Float { Float(terms + 4) * 0x1p-24 * size }

  @Test(arguments: InstructionSet.supported, shapes)
  func `multiplies packed rows as the plain loop does`(
    set: InstructionSet, shape: (bits: Int, groupSize: Int)
  ) {
    let (rowCount, columnCount) = (5, 3 * shape.groupSize)
    let codes = randomBytes(rowCount * columnCount * shape.bits / 8, seed: 1)
    let (scales, biases) = (randomFloats(15, seed: 2), randomFloats(15, seed: 3))
    let x = randomFloats(columnCount, seed: 4)
    var groupSums = [Float](repeating: 0, count: 3)
    var groupSumSpan = groupSums.mutableSpan
    poolGroups(x.span, groupSize: shape.groupSize, into: &groupSumSpan, on: set)
    var (actual, expected) = ([Float](repeating: 7, count: rowCount), [Float](repeating: 0, count: rowCount))
    var actualSpan = actual.mutableSpan
    multiplyPackedRows(
      codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize, columnCount: columnCount,
      scales: scales.span, biases: biases.span, x: x.span, groupSums: groupSums.span, into: &actualSpan,
      on: set)
    var expectedSpan = expected.mutableSpan
    multiplyPackedRowsReference(
      codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize, columnCount: columnCount,
      scales: scales.span, biases: biases.span, x: x.span, into: &expectedSpan)
    let size = Float(columnCount << shape.bits)
    expectClose(actual, expected, relative: 0, absolute: tolerance(columnCount, size: size))
  }

  @Test(
    arguments: Int8Backend.supported,
    [(2, 16)] + [2, 4, 8].flatMap { bits in [32, 64, 96, 128].map { (bits, $0) } })
  func `multiplies packed rows with a vector of int8 as the plain loop does`(
    backend: Int8Backend, shape: (bits: Int, groupSize: Int)
  ) {
    // More groups than a kernel takes at a time.
    for count in [1, 3, 16, 67] {
      let groupCount = shape.groupSize == 16 ? 4 * count : count
      let (rowCount, columnCount) = (5, groupCount * shape.groupSize)
      let codes = randomBytes(rowCount * columnCount * shape.bits / 8, seed: 1)
      let scales = randomFloats(rowCount * groupCount, seed: 2)
      let biases = randomFloats(rowCount * groupCount, seed: 3)
      var x = randomFloats(columnCount, seed: 4)
      for i in 0..<shape.groupSize where groupCount > 1 { x[i] = 0 }
      var sums = [Float](repeating: 0, count: groupCount)
      var sumSpan = sums.mutableSpan
      poolGroups(x.span, groupSize: shape.groupSize, into: &sumSpan)
      let vector = Int8Vector(x.span, sums: sums, bits: shape.bits, groupSize: shape.groupSize)
      var actual = [Float](repeating: 7, count: rowCount)
      var expected = actual
      var actualSpan = actual.mutableSpan
      multiplyPackedRows(
        codes: codes.span.bytes, scales: scales.span, biases: biases.span, x: vector, into: &actualSpan,
        on: backend)
      var expectedSpan = expected.mutableSpan
      multiplyPackedRowsReference(
        codes: codes.span.bytes, scales: scales.span, biases: biases.span, x: x.span, bits: shape.bits,
        groupSize: shape.groupSize, into: &expectedSpan)
      let size = Float(columnCount << shape.bits)
      expectClose(actual, expected, relative: 0, absolute: tolerance(columnCount, size: size))
    }
  }

  @Test(arguments: Int8Backend.supported, [1, 3, 5])
  func `tables as steps give the bits of tables as floats`(backend: Int8Backend, blockCount: Int) {
    // Rows that are taken four at a time, and others; more groups than a kernel takes at a time.
    let (rowCount, columnCount) = (9, 256 * blockCount)
    let codes = randomBytes(rowCount * columnCount / 4, seed: 1)
    let steps = randomBytes(rowCount * columnCount / 16, seed: 2)
    let scaleFactors = randomFloats(rowCount * blockCount, seed: 3)
    let biasFactors = randomFloats(rowCount * blockCount, seed: 4)
    let scales = steps.indices.map { scaleFactors[$0 / 16] * Float(steps[$0] & 15) }
    let biases = steps.indices.map { 0 - biasFactors[$0 / 16] * Float(steps[$0] >> 4) }
    let x = randomFloats(columnCount, seed: 5)
    var sums = [Float](repeating: 0, count: columnCount / 16)
    var sumSpan = sums.mutableSpan
    poolGroups(x.span, groupSize: 16, into: &sumSpan)
    let vector = Int8Vector(x.span, sums: sums, bits: 2, groupSize: 16)
    var (actual, expected) = ([Float](repeating: 7, count: rowCount), [Float](repeating: 0, count: rowCount))
    var actualSpan = actual.mutableSpan
    multiplyPackedRows(
      codes: codes.span.bytes, steps: steps.span, scaleFactors: scaleFactors.span,
      biasFactors: biasFactors.span, x: vector, into: &actualSpan, on: backend)
    var expectedSpan = expected.mutableSpan
    multiplyPackedRows(
      codes: codes.span.bytes, scales: scales.span, biases: biases.span, x: vector, into: &expectedSpan,
      on: backend)
    #expect(bits(actual) == bits(expected))
  }

  @Test(arguments: Int8Backend.supported, [(2, 16), (2, 64), (4, 32), (4, 64), (8, 32), (8, 128)])
  func `the largest codes and values of int8 do not overflow, and rows do not change each other`(
    backend: Int8Backend, shape: (bits: Int, groupSize: Int)
  ) {
    let (rowCount, columnCount) = (7, 256)
    let groupCount = columnCount / shape.groupSize
    let codes = [UInt8](repeating: 255, count: rowCount * columnCount * shape.bits / 8)
    let scales = (0..<rowCount * groupCount).map { 1 + Float($0 / groupCount) }
    let biases = [Float](repeating: 0, count: scales.count)
    // Every value is rounded to 127, and the scale of a group is 1.
    let x = [Float](repeating: 127, count: columnCount)
    let vector = Int8Vector(
      x.span, sums: [Float](repeating: 0, count: groupCount), bits: shape.bits, groupSize: shape.groupSize)
    let expected = (0..<rowCount).map { Float(($0 + 1) * columnCount * 127 * ((1 << shape.bits) - 1)) }
    for count in 1...rowCount {
      var y = [Float](repeating: -1, count: count)
      var span = y.mutableSpan
      multiplyPackedRows(
        codes: codes.span.bytes.extracting(0..<count * columnCount * shape.bits / 8),
        scales: scales.span.extracting(0..<count * groupCount),
        biases: biases.span.extracting(0..<count * groupCount), x: vector, into: &span, on: backend)
      #expect(y == [Float](expected.prefix(count)))
    }
  }

  @Test(arguments: Int8Backend.supported, [Float.nan, .infinity, -.infinity])
  func `a value that is not finite is in every product with int8`(backend: Int8Backend, value: Float) {
    var x = randomFloats(128, seed: 1)
    x[70] = value
    let vector = Int8Vector(x.span, sums: [1, value], bits: 2, groupSize: 64)
    let codes = randomBytes(64, seed: 2)
    let tables: [Float] = [1, 1, 1, 1]
    var y: [Float] = [0, 0]
    var span = y.mutableSpan
    multiplyPackedRows(
      codes: codes.span.bytes, scales: tables.span, biases: tables.span, x: vector, into: &span, on: backend)
    #expect(y.allSatisfy { !$0.isFinite })
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `reduces gradients by codes as the plain loop does`(
    set: InstructionSet, shape: (bits: Int, groupSize: Int)
  ) {
    let columnCount = 3 * shape.groupSize
    let gradient = randomFloats(5 * columnCount, seed: 1)
    let codes = randomBytes(gradient.count * shape.bits / 8, seed: 2)
    var (scales, biases) = (randomFloats(15, seed: 3), randomFloats(15, seed: 4))
    var (expectedScales, expectedBiases) = (scales, biases)
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    reduceByCodes(
      weightGradient: gradient.span, codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
      columnCount: columnCount, addTo: &scaleSpan, addTo: &biasSpan, on: set)
    var expectedScaleSpan = expectedScales.mutableSpan
    var expectedBiasSpan = expectedBiases.mutableSpan
    reduceByCodesReference(
      weightGradient: gradient.span, codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
      addTo: &expectedScaleSpan, addTo: &expectedBiasSpan)
    let n = shape.groupSize
    expectClose(scales, expectedScales, relative: 0, absolute: tolerance(n, size: Float(n << shape.bits)))
    expectClose(biases, expectedBiases, relative: 0, absolute: tolerance(n, size: Float(n)))
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `measures packed weights as the plain loop does`(
    set: InstructionSet, shape: (bits: Int, groupSize: Int)
  ) {
    let weights = randomFloats(15 * shape.groupSize, seed: 1)
    let codes = randomBytes(weights.count * shape.bits / 8, seed: 2)
    let (scales, biases) = (randomFloats(15, seed: 3), randomFloats(15, seed: 4))
    let squares = packedSquares(
      weights.span, codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
      columnCount: 3 * shape.groupSize, scales: scales.span, biases: biases.span, on: set)
    let expected = packedSquaresReference(
      weights.span, codes: codes.span.bytes, bits: shape.bits, groupSize: shape.groupSize,
      scales: scales.span,
      biases: biases.span)
    #expect(abs(squares.error - expected.error) <= 1e-5 * expected.error)
    #expect(abs(squares.norm - expected.norm) <= 1e-5 * expected.norm)
  }
}
