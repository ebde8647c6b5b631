import Kernels
import Testing

@Suite struct LayerKernelTests {
  private static let counts = [1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100]

  /// An exponential is 3e-7 off and at most ten roundings of 2^-24 follow.
  private let exponentialError: Float = 1e-6

  /// A handful of f32 roundings of 2^-24 each.
  private let fewRoundings: Float = 8 * 0x1p-24

  @Test(arguments: InstructionSet.supported, counts)
  func `gates as the plain loop does`(set: InstructionSet, count: Int) {
    let (gate, up) = (randomFloats(count, seed: 1, size: 20), randomFloats(count, seed: 2))
    var (actual, expected) = (gate, gate)
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    siluMultiply(gate: gate.span, up: up.span, into: &actualSpan, on: set)
    siluMultiplyReference(gate: gate.span, up: up.span, into: &expectedSpan)
    expectClose(actual, expected, relative: exponentialError, absolute: 0)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `turns back gated gradients as the plain loop does`(set: InstructionSet, count: Int) {
    let (gate, up) = (randomFloats(count, seed: 1, size: 20), randomFloats(count, seed: 2))
    let gradient = randomFloats(count, seed: 3)
    var (gateGradient, upGradient) = (gate, gate)
    var (expectedGate, expectedUp) = (gate, gate)
    var gateSpan = gateGradient.mutableSpan
    var upSpan = upGradient.mutableSpan
    siluMultiplyBackward(
      gate: gate.span, up: up.span, gradient: gradient.span, gateGradient: &gateSpan, upGradient: &upSpan,
      on: set)
    var expectedGateSpan = expectedGate.mutableSpan
    var expectedUpSpan = expectedUp.mutableSpan
    siluMultiplyBackwardReference(
      gate: gate.span, up: up.span, gradient: gradient.span, gateGradient: &expectedGateSpan,
      upGradient: &expectedUpSpan)
    expectClose(upGradient, expectedUp, relative: exponentialError, absolute: 0)
    // 1 - sigmoid and 1 + g (1 - sigmoid) cancel: their errors are relative to 1 and to g, at most 20.
    expectClose(gateGradient, expectedGate, relative: exponentialError, absolute: 20 * exponentialError)
  }

  @Test(arguments: InstructionSet.supported)
  func `gates extremes without overflow`(set: InstructionSet) {
    let gate: [Float] = [-1000, -88, 88, 1000, 0, .nan]
    let up = [Float](repeating: 1, count: 6)
    var output = gate
    var span = output.mutableSpan
    siluMultiply(gate: gate.span, up: up.span, into: &span, on: set)
    #expect(abs(output[0]) < 1e-34 && abs(output[1]) < 1e-35)
    #expect(output[2] == 88 && output[3] == 1000 && output[4] == 0 && output[5].isNaN)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `divides by the root mean square as the plain loop does`(set: InstructionSet, count: Int) {
    let (row, weight) = (randomFloats(count, seed: 1, size: 3), randomFloats(count, seed: 2))
    var (actual, expected) = (row, row)
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    let inverse = rmsNorm(row.span, weight: weight.span, epsilon: 1e-5, into: &actualSpan, on: set)
    let expectedInverse = rmsNormReference(row.span, weight: weight.span, epsilon: 1e-5, into: &expectedSpan)
    expectClose([inverse], [Float(expectedInverse)], relative: fewRoundings, absolute: 0)
    expectClose(actual, expected, relative: fewRoundings, absolute: 0)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `adds the gradient of a norm as the plain loop does`(set: InstructionSet, count: Int) {
    let (row, weight) = (randomFloats(count, seed: 1, size: 3), randomFloats(count, seed: 2))
    let gradient = randomFloats(count, seed: 3)
    var actual = randomFloats(count, seed: 4)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    rmsNormBackward(
      row: row.span, weight: weight.span, inverseRMS: 0.6, gradient: gradient.span,
      accumulateInto: &actualSpan, on: set)
    rmsNormBackwardReference(
      row: row.span, weight: weight.span, inverseRMS: 0.6, gradient: gradient.span,
      accumulateInto: &expectedSpan)
    // The terms are at most 3, and so is their sum.
    expectClose(actual, expected, relative: fewRoundings, absolute: 3 * fewRoundings)
  }

  @Test(arguments: InstructionSet.supported, [2, 6, 14, 16, 32, 34, 64, 128])
  func `rotates as the plain loop does, bit by bit`(set: InstructionSet, headSize: Int) {
    let angles = randomFloats(headSize / 2, seed: 1, size: 3)
    let (cosines, sines) = (angles.map { 1 - $0 * $0 / 10 }, angles)
    for inverse in [false, true] {
      var actual = randomFloats(3 * headSize, seed: 2)
      var expected = actual
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      rotate(
        &actualSpan, headSize: headSize, cosines: cosines.span, sines: sines.span, inverse: inverse, on: set)
      rotateReference(
        &expectedSpan, headSize: headSize, cosines: cosines.span, sines: sines.span, inverse: inverse)
      #expect(bits(actual) == bits(expected))
    }
  }

  @Test func `rotates the first half against the second`() {
    var row: [Float] = [1, 2, 3, 4]
    var span = row.mutableSpan
    let (cosines, sines): ([Float], [Float]) = ([0, 1], [1, 0])
    rotate(&span, headSize: 4, cosines: cosines.span, sines: sines.span)
    #expect(row == [-3, 2, 1, 4])
  }
}
