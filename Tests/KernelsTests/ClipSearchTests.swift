import Kernels
import Testing

@Suite struct ClipSearchTests {
  private static let shapes: [(bits: Int, groupSize: Int)] = [(2, 32), (2, 64), (3, 64), (4, 128), (8, 8)]

  private func searched(
    _ weights: [Float], _ importance: [Float], bits: Int, groupSize: Int, on set: InstructionSet
  ) -> (scales: [Float], biases: [Float]) {
    var scales = [Float](repeating: 0, count: weights.count / groupSize)
    var biases = scales
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    searchClipping(
      weights.span, importance: importance.span, bits: bits, groupSize: groupSize,
      columnCount: importance.count,
      scales: &scaleSpan, biases: &biasSpan, on: set)
    return (scales, biases)
  }

  /// The error of groups on their grids, one by one, in double precision.
  private func errors(
    _ weights: [Float], _ importance: [Float], _ tables: (scales: [Float], biases: [Float]), bits: Int,
    groupSize: Int
  ) -> [Double] {
    tables.scales.indices.map { group in
      (group * groupSize..<(group + 1) * groupSize).reduce(0) { sum, i in
        let (scale, bias) = (Double(tables.scales[group]), Double(tables.biases[group]))
        let code = min(max(((Double(weights[i]) - bias) / scale).rounded(), 0), Double(1 << bits - 1))
        let difference = code * scale + bias - Double(weights[i])
        return sum + difference * difference * Double(importance[i % importance.count])
      }
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `finds tables as good as the plain loop's`(set: InstructionSet, shape: (bits: Int, groupSize: Int)) {
    let weights = randomFloats(10 * shape.groupSize, seed: 3, size: 0.1)
    let importance = randomFloats(2 * shape.groupSize, seed: 4).map { $0 * $0 }
    let found = searched(weights, importance, bits: shape.bits, groupSize: shape.groupSize, on: set)
    var scales = [Float](repeating: 0, count: 10)
    var biases = scales
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    searchClippingReference(
      weights.span, importance: importance.span, bits: shape.bits, groupSize: shape.groupSize,
      scales: &scaleSpan,
      biases: &biasSpan)
    let (a, b) = (
      errors(weights, importance, found, bits: shape.bits, groupSize: shape.groupSize),
      errors(weights, importance, (scales, biases), bits: shape.bits, groupSize: shape.groupSize)
    )
    for (found, expected) in zip(a, b) { #expect(abs(found - expected) <= 1e-4 * expected) }
  }

  @Test(arguments: InstructionSet.supported)
  func `gives the same bits with every instruction set`(set: InstructionSet) {
    let weights = randomFloats(12 * 64, seed: 5, size: 0.1)
    let importance = randomFloats(128, seed: 6).map { $0 * $0 }
    let found = searched(weights, importance, bits: 2, groupSize: 64, on: set)
    let expected = searched(weights, importance, bits: 2, groupSize: 64, on: .baseline)
    #expect(bits(found.scales) == bits(expected.scales) && bits(found.biases) == bits(expected.biases))
  }

  @Test(arguments: InstructionSet.supported)
  func `keeps the whole range where clipping gains nothing`(set: InstructionSet) {
    let weights: [Float] = [0, 1, 2, 3, 0, 1, 2, 3]
    let found = searched(weights, [Float](repeating: 1, count: 8), bits: 2, groupSize: 8, on: set)
    #expect(found.scales == [1] && found.biases == [0])
  }

  @Test(arguments: InstructionSet.supported)
  func `gives a group of equal weights a grid that holds it`(set: InstructionSet) {
    let found = searched(
      [Float](repeating: -0.5, count: 8), [Float](repeating: 1, count: 8), bits: 2, groupSize: 8, on: set)
    #expect(found.scales[0] > 0 && found.biases[0] == -0.5)
  }

  @Test(arguments: InstructionSet.supported)
  func `rounds half to even between codes and clamps beyond them`(set: InstructionSet) {
    let weights: [Float] = [-9, -0.5, 0.5, 1.5, 2.5, 3.5, 9, 1]
    var codes = [UInt8](repeating: 9, count: 8)
    var span = codes.mutableSpan
    let (scale, bias): ([Float], [Float]) = ([1], [0])
    roundToGrid(
      weights.span, bits: 2, groupSize: 8, columnCount: 8, scales: scale.span, biases: bias.span,
      codes: &span,
      on: set)
    #expect(codes == [0, 0, 0, 2, 2, 3, 3, 1])
  }
}
