import Kernels
import Testing

@Suite struct LayerKernelTests {
  private static let counts = [1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100]

  /// A handful of f32 roundings of 2^-24 each.
  private let fewRoundings: Float = 8 * 0x1p-24

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

  @Test(arguments: InstructionSet.supported, counts)
  func `subtracts the mean and divides by the deviation as the plain loop does`(
    set: InstructionSet, count: Int
  ) {
    let (row, weight) = (randomFloats(count, seed: 1, size: 3), randomFloats(count, seed: 2))
    for bias in [[], randomFloats(count, seed: 3)] {
      var (actual, expected) = (row, row)
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      let statistics = layerNorm(
        row.span, weight: weight.span, bias: bias.span, epsilon: 1e-2, into: &actualSpan, on: set)
      let expectedStatistics = layerNormReference(
        row.span, weight: weight.span, bias: bias.span, epsilon: 1e-2, into: &expectedSpan)
      // The mean is at most 3, its deviation at least 0.1.
      expectClose(
        [statistics.mean], [Float(expectedStatistics.mean)], relative: 0, absolute: 3 * fewRoundings)
      expectClose(
        [statistics.inverseDeviation], [Float(expectedStatistics.inverseDeviation)],
        relative: 30 * fewRoundings, absolute: 0)
      expectClose(actual, expected, relative: 30 * fewRoundings, absolute: 30 * fewRoundings)
    }
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `adds the gradient of a centred norm as the plain loop does`(set: InstructionSet, count: Int) {
    let (row, weight) = (randomFloats(count, seed: 1, size: 3), randomFloats(count, seed: 2))
    let gradient = randomFloats(count, seed: 3)
    let statistics = LayerNormStatistics(mean: 0.3, inverseDeviation: 0.6)
    var actual = randomFloats(count, seed: 4)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    layerNormBackward(
      row: row.span, weight: weight.span, statistics: statistics, gradient: gradient.span,
      accumulateInto: &actualSpan, on: set)
    layerNormBackwardReference(
      row: row.span, weight: weight.span, statistics: statistics, gradient: gradient.span,
      accumulateInto: &expectedSpan)
    // The terms are at most 3, and so is their sum.
    expectClose(actual, expected, relative: fewRoundings, absolute: 3 * fewRoundings)
  }

  @Test func `a centred norm changes with its input as its gradient says`() {
    let count = 9
    let (row, weight) = (randomFloats(count, seed: 1, size: 3), randomFloats(count, seed: 2))
    let (gradient, bias) = (randomFloats(count, seed: 3), [Float]())
    func normed(_ row: [Float]) -> (values: [Float], statistics: LayerNormStatistics) {
      var values = row
      var span = values.mutableSpan
      let statistics = layerNorm(row.span, weight: weight.span, bias: bias.span, epsilon: 1e-5, into: &span)
      return (values, statistics)
    }
    var slopes = [Float](repeating: 0, count: count)
    var span = slopes.mutableSpan
    layerNormBackward(
      row: row.span, weight: weight.span, statistics: normed(row).statistics, gradient: gradient.span,
      accumulateInto: &span)
    for i in 0..<count {
      let step: Float = 1e-2
      var (above, below) = (row, row)
      above[i] += step
      below[i] -= step
      let change = zip(zip(normed(above).values, normed(below).values), gradient)
        .map { ($0.0.0 - $0.0.1) * $0.1 }.reduce(0, +)
      // The step's square, and roundings over the step.
      #expect(abs(change / (2 * step) - slopes[i]) < 1e-3)
    }
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

  @Test(arguments: InstructionSet.supported, [(2, 0), (6, 2), (16, 8), (34, 34), (64, 16), (128, 96)])
  func `rotates some columns of a head as the plain loops do, bit by bit`(
    set: InstructionSet, sizes: (head: Int, turned: Int)
  ) {
    let sines = randomFloats(sizes.turned / 2, seed: 1)
    let cosines = randomFloats(sizes.turned / 2, seed: 2)
    for (areNeighbours, inverse) in [(false, false), (false, true), (true, false), (true, true)] {
      let row = randomFloats(3 * sizes.head, seed: 3)
      var (actual, expected) = (row, row)
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      if areNeighbours {
        rotateNeighbours(
          &actualSpan, headSize: sizes.head, cosines: cosines.span, sines: sines.span, inverse: inverse,
          on: set)
        rotateNeighboursReference(
          &expectedSpan, headSize: sizes.head, cosines: cosines.span, sines: sines.span, inverse: inverse)
      } else {
        rotate(
          &actualSpan, headSize: sizes.head, cosines: cosines.span, sines: sines.span, inverse: inverse,
          on: set)
        rotateReference(
          &expectedSpan, headSize: sizes.head, cosines: cosines.span, sines: sines.span, inverse: inverse)
      }
      #expect(bits(actual) == bits(expected))
      for i in row.indices where i % sizes.head >= sizes.turned { #expect(actual[i] == row[i]) }
    }
  }

  @Test func `rotates a column against its neighbour`() {
    var row: [Float] = [1, 2, 3, 4, 5]
    var span = row.mutableSpan
    let (cosines, sines): ([Float], [Float]) = ([0, 1], [1, 0])
    rotateNeighbours(&span, headSize: 5, cosines: cosines.span, sines: sines.span)
    #expect(row == [-2, 1, 3, 4, 5])
  }

  @Test func `rotates the first half against the second`() {
    var row: [Float] = [1, 2, 3, 4]
    var span = row.mutableSpan
    let (cosines, sines): ([Float], [Float]) = ([0, 1], [1, 0])
    rotate(&span, headSize: 4, cosines: cosines.span, sines: sines.span)
    #expect(row == [-3, 2, 1, 4])
  }
}
