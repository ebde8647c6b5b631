import Kernels
import Testing

@Suite struct RoundToNearestTests {
  private struct Quantized: Equatable {
    var codes: [UInt8]
    var scales: [UInt32]
    var biases: [UInt32]
    var failure: Int?
  }

  private static let shapes: [(bits: Int, groupSize: Int)] = [2, 3, 4, 5, 6, 8].flatMap { bits in
    [8, 24, 32, 64, 128, 264, 512].map { (bits, $0) }
  }

  private func quantized(
    _ weights: [Float], bits: Int, groupSize: Int, columnCount: Int, on set: InstructionSet
  ) -> Quantized {
    var codes = [UInt8](repeating: 0, count: weights.count * bits / 8)
    var scales = [Float](repeating: 0, count: weights.count / groupSize)
    var biases = scales
    var codeSpan = codes.mutableSpan
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    let failure = quantizeRoundToNearest(
      weights.span, bits: bits, groupSize: groupSize, columnCount: columnCount, codes: &codeSpan,
      scales: &scaleSpan, biases: &biasSpan, on: set)
    return Quantized(
      codes: codes, scales: KernelsTests.bits(scales), biases: KernelsTests.bits(biases), failure: failure)
  }

  private func expected(_ weights: [Float], bits: Int, groupSize: Int) -> Quantized {
    var codes = [UInt8](repeating: 0, count: weights.count)
    var scales = [Float](repeating: 0, count: weights.count / groupSize)
    var biases = scales
    var codeSpan = codes.mutableSpan
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    let failure = quantizeRoundToNearestReference(
      weights.span, bits: bits, groupSize: groupSize, codes: &codeSpan, scales: &scaleSpan, biases: &biasSpan)
    var packed = [UInt8](repeating: 0, count: weights.count * bits / 8)
    var packedSpan = packed.mutableSpan
    packCodesReference(codes.span, bits: bits, into: &packedSpan)
    return Quantized(
      codes: packed, scales: KernelsTests.bits(scales), biases: KernelsTests.bits(biases), failure: failure)
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `computes the bits of the plain loop`(set: InstructionSet, shape: (bits: Int, groupSize: Int)) {
    let weights = randomFloats(6 * shape.groupSize, seed: 9, size: 0.1)
    #expect(
      quantized(
        weights, bits: shape.bits, groupSize: shape.groupSize, columnCount: 2 * shape.groupSize, on: set)
        == expected(weights, bits: shape.bits, groupSize: shape.groupSize))
  }

  @Test(
    arguments: InstructionSet.supported,
    [
      [Float](repeating: 0.5, count: 8), [Float](repeating: -0.0, count: 8),
      [0, -0.0, 0, -0.0, 0, -0.0, 0, 0],
      [-3, -1, -2, -7, -5, -4, -6, -8], [0x1p-132, 0x3p-132, -0x1p-131, 0, 0x1p-140, 0x1p-148, 0, 0x5p-132],
      [0, 3e38, 1e38, 2e38, 0, 0, 0, 1], [0, 0.5, 1.5, 2.5, 3, 1, 2, 0.25], [1, 1.0000001, 1, 1, 1, 1, 1, 1],
      [1e-13, 2e-13, 0, 3e-13, 1e-12, 0, 0, 0],
    ])
  func `agrees on odd groups`(set: InstructionSet, group: [Float]) {
    for bits in [2, 3, 4, 5, 6, 8] {
      #expect(
        quantized(group, bits: bits, groupSize: 8, columnCount: 8, on: set)
          == expected(group, bits: bits, groupSize: 8))
    }
  }

  @Test(arguments: InstructionSet.supported, [Float.nan, .infinity, -.infinity])
  func `finds the first weight that is not finite`(set: InstructionSet, value: Float) {
    for index in [0, 7, 8, 63, 64, 100, 191] {
      var weights = randomFloats(192, seed: 1)
      weights[index] = value
      weights[191] = .nan
      #expect(quantized(weights, bits: 2, groupSize: 64, columnCount: 96 * 2, on: set).failure == index)
    }
  }

  @Test(arguments: InstructionSet.supported)
  func `refuses a group whose range overflows`(set: InstructionSet) {
    var weights = randomFloats(24, seed: 1)
    weights[9] = 3e38
    weights[12] = -3e38
    #expect(quantized(weights, bits: 2, groupSize: 8, columnCount: 24, on: set).failure == 8)
  }

  @Test(arguments: InstructionSet.supported)
  func `equals PyTorch on a trained model`(set: InstructionSet) throws {
    let golden = try FixtureTensors("golden/rtn-w2g64.safetensors")
    var checked = 0
    for shard in 1...3 {
      let model = try FixtureTensors("tiny-llama/model-0000\(shard)-of-00003.safetensors")
      for name in model.names where golden.names.contains(name) {
        let (shape, stored) = (try model.shape(of: name), try model.bytes(of: name))
        var weights = [Float](repeating: 0, count: shape[0] * shape[1])
        var span = weights.mutableSpan
        widen(stored.span.bytes, from: .bf16, into: &span, on: set)
        let actual = quantized(weights, bits: 2, groupSize: 64, columnCount: shape[1], on: set)
        let module = name.dropLast("weight".count)
        let expected = Quantized(
          codes: try golden.bytes(of: name), scales: words(try golden.bytes(of: module + "scales")),
          biases: words(try golden.bytes(of: module + "biases")))
        #expect(actual == expected, "\(name)")
        checked += 1
      }
    }
    #expect(checked == 28)
  }

  private func words(_ bytes: [UInt8]) -> [UInt32] {
    stride(from: 0, to: bytes.count, by: 4).map { i in
      (0..<4).reduce(0) { $0 | UInt32(bytes[i + $1]) << (8 * $1) }
    }
  }
}
