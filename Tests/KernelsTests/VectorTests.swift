import Kernels
import Testing

@Suite struct VectorTests {
  private static let counts = [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000]

  @Test(arguments: InstructionSet.supported, counts)
  func `multiplies vectors as the plain loop does`(set: InstructionSet, count: Int) {
    let (x, y) = (randomFloats(count, seed: 1), randomFloats(count, seed: 2))
    // A lane adds count / 32 terms of at most 1, and the lanes are added in five steps.
    let error = Float(count) * 0x1p-24 * Float(count / 32 + 6)
    expectClose(
      [dot(x.span, y.span, on: set)], [Float(dotReference(x.span, y.span))], relative: 0, absolute: error)
    expectClose(
      [sumOfSquares(x.span, on: set)], [Float(dotReference(x.span, x.span))], relative: 0, absolute: error)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `adds a scaled vector as the plain loop does, bit by bit`(set: InstructionSet, count: Int) {
    let x = randomFloats(count, seed: 1)
    var actual = randomFloats(count, seed: 2)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    addScaled(x.span, scale: 0.3, to: &actualSpan, on: set)
    addScaledReference(x.span, scale: 0.3, to: &expectedSpan)
    #expect(bits(actual) == bits(expected))
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `multiplies and adds vectors of doubles`(set: InstructionSet, count: Int) {
    let x = randomFloats(count, seed: 1).map(Double.init)
    let y = randomFloats(count, seed: 2).map(Double.init)
    let expected = zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }
    #expect(abs(dot(x.span, y.span, on: set) - expected) <= 1e-15 * Double(count))
    var sum = y
    var span = sum.mutableSpan
    addScaled(x.span, scale: 0.3, to: &span, on: set)
    for i in 0..<count {
      let product = 0.3 * x[i]
      #expect(sum[i] == y[i] + product)
    }
  }

  @Test(arguments: InstructionSet.supported, [8, 24, 64, 128])
  func `pools groups as the plain loop does`(set: InstructionSet, groupSize: Int) {
    let row = randomFloats(5 * groupSize, seed: 1)
    var (actual, expected) = ([Float](repeating: 7, count: 5), [Float](repeating: 0, count: 5))
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    poolGroups(row.span, groupSize: groupSize, into: &actualSpan, on: set)
    poolGroupsReference(row.span, groupSize: groupSize, into: &expectedSpan)
    // A lane adds groupSize / 8 terms of at most 1, and the lanes are added in three steps.
    expectClose(
      actual, expected, relative: 0, absolute: Float(groupSize) * 0x1p-24 * Float(groupSize / 8 + 3))
  }

  @Test(arguments: InstructionSet.supported, [8, 24, 64, 128])
  func `spreads groups as the plain loop does, bit by bit`(set: InstructionSet, groupSize: Int) {
    let pooled = randomFloats(5, seed: 1)
    var actual = randomFloats(5 * groupSize, seed: 2)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    spreadGroups(pooled.span, groupSize: groupSize, scale: 0.7, addTo: &actualSpan, on: set)
    spreadGroupsReference(pooled.span, groupSize: groupSize, scale: 0.7, addTo: &expectedSpan)
    #expect(bits(actual) == bits(expected))
  }
}
