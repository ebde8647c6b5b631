import Foundation
import Kernels
import Testing

@Suite struct LogitRowTests {
  private static let counts = [1, 2, 15, 16, 17, 31, 33, 511, 512, 513, 529, 1500]

  /// A term e^x is 3e-7 off, a lane adds 32 of them (32 * 2^-24 at worst, each rounded by half of that),
  /// and the product with the rounded reciprocal adds 2^-23.
  private let relativeError: Float = 1.5e-6

  /// Scores are up to 20, so that rounding `x - max` to f32 moves an exponential by 20 * 2^-23, too.
  private let scoreError: Float = 4e-6

  @Test(arguments: InstructionSet.supported, counts)
  func `adds up exponentials as the plain loop does`(set: InstructionSet, count: Int) {
    let row = randomFloats(count, seed: 1, size: 10)
    // The logarithm turns a relative error into an absolute one; the result is a Float near 10.
    expectClose(
      [logSumExp(row.span, on: set)], [Float(logSumExpReference(row.span))], relative: 0x1p-23,
      absolute: relativeError + scoreError)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `turns scores into probabilities as the plain loop does`(set: InstructionSet, count: Int) {
    for validCount in [1, (count + 1) / 2, count] {
      var actual = randomFloats(count, seed: 2, size: 40)
      var expected = actual
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      let logSum = softmax(&actualSpan, validCount: validCount, scale: 0.25, on: set)
      let expectedLogSum = softmaxReference(&expectedSpan, validCount: validCount, scale: 0.25)
      expectClose(actual, expected, relative: relativeError + scoreError, absolute: 1e-37)
      expectClose(
        [logSum], [Float(expectedLogSum)], relative: 0x1p-23, absolute: relativeError + scoreError)
      #expect(actual[validCount...].allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: InstructionSet.supported, [-.infinity, 8, 30] as [Float])
  func `a sink takes its share of the probabilities`(set: InstructionSet, sink: Float) {
    var actual = randomFloats(40, seed: 2, size: 40)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    softmax(&actualSpan, validCount: 33, scale: 0.25, sink: sink, on: set)
    _ = softmaxReference(&expectedSpan, validCount: 33, scale: 0.25, sink: sink)
    expectClose(actual, expected, relative: relativeError + scoreError, absolute: 1e-37)
    #expect((sink == -.infinity) == (actual.reduce(0, +) > 0.999))
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `caps scores as the plain loop does`(set: InstructionSet, count: Int) {
    for (size, scale) in [(1e-3, 1), (20, 0.25), (1000, 1)] as [(Float, Float)] {
      var actual = randomFloats(count, seed: 8, size: size)
      var expected = actual
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      capScores(&actualSpan, scale: scale, cap: 5, on: set)
      capScoresReference(&expectedSpan, scale: scale, cap: 5)
      expectClose(actual, expected, relative: 5e-7, absolute: 0)
    }
  }

  @Test(arguments: InstructionSet.supported)
  func `the slope of capped scores is 1 at 0 and 0 at the cap`(set: InstructionSet) {
    let scores: [Float] = [0, 5, -5, 3]
    var gradient: [Float] = [2, 2, 2, 2]
    var span = gradient.mutableSpan
    capScoresBackward(scores: scores.span, cap: 5, gradient: &span, on: set)
    expectClose(gradient, [2, 0, 0, 2 * (1 - 0.36)], relative: 5e-7, absolute: 0)
  }

  @Test(arguments: InstructionSet.supported)
  func `passes a NaN score on`(set: InstructionSet) {
    var row = randomFloats(40, seed: 3)
    row[33] = .nan
    #expect(logSumExp(row.span, on: set).isNaN)
    var span = row.mutableSpan
    softmax(&span, validCount: 40, on: set)
    #expect(row.allSatisfy { $0.isNaN })
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `turns back gradients of probabilities as the plain loop does`(set: InstructionSet, count: Int) {
    var probabilities = randomFloats(count, seed: 4, size: 3)
    var probabilitySpan = probabilities.mutableSpan
    softmax(&probabilitySpan, validCount: count, on: .baseline)
    var actual = randomFloats(count, seed: 5)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    softmaxBackward(probabilities: probabilities.span, gradient: &actualSpan, scale: 0.125, on: set)
    softmaxBackwardReference(probabilities: probabilities.span, gradient: &expectedSpan, scale: 0.125)
    // The mean is at most 1; a lane adds count / 16 terms, and four sums follow.
    expectClose(actual, expected, relative: 4 * 0x1p-24, absolute: Float(count / 16 + 8) * 0x1p-24)
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `scores a token and a teacher and their gradient as the plain loop does`(
    set: InstructionSet, count: Int
  ) {
    let teacher = randomFloats(count, seed: 7, size: 10)
    for target in [0, count / 2, count - 1] {
      var actual = randomFloats(count, seed: 6, size: 10)
      var expected = actual
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      let losses = distillRow(
        logits: &actualSpan, teacher: teacher.span, target: target, labelScale: 0.5, teacherScale: 0.25,
        on: set)
      let reference = distillRowReference(
        logits: &expectedSpan, teacher: teacher.span, target: target, labelScale: 0.5, teacherScale: 0.25)
      #expect(abs(losses.crossEntropy - reference.crossEntropy) < Double(relativeError + scoreError))
      #expect(abs(losses.divergence - reference.divergence) < 2 * Double(relativeError + scoreError))
      // Two probabilities and a one are taken from each other.
      expectClose(actual, expected, relative: 0, absolute: 2 * (relativeError + scoreError))
    }
  }

  @Test(arguments: counts)
  func `among all tokens at temperature 1 the divergence is the plain one`(count: Int) {
    let teacher = randomFloats(count, seed: 7, size: 10)
    var actual = randomFloats(count, seed: 6, size: 10)
    var expected = actual
    var actualSpan = actual.mutableSpan
    var expectedSpan = expected.mutableSpan
    let losses = distillTopRow(
      logits: &actualSpan, teacher: teacher.span, target: 0, DivergenceShape(tokenCount: 1 << 20),
      labelScale: 0.5, teacherScale: 0.25)
    let reference = distillRowReference(
      logits: &expectedSpan, teacher: teacher.span, target: 0, labelScale: 0.5, teacherScale: 0.25)
    #expect(abs(losses.crossEntropy - reference.crossEntropy) < Double(relativeError + scoreError))
    #expect(abs(losses.divergence - reference.divergence) < 1e-9)
    expectClose(actual, expected, relative: 0, absolute: 2 * (relativeError + scoreError))
  }

  @Test func `the divergence of the likeliest tokens has its own slope and leaves the others alone`() {
    let teacher = randomFloats(40, seed: 7, size: 4)
    let student = randomFloats(40, seed: 6, size: 4)
    let shape = DivergenceShape(tokenCount: 5, temperature: 2)
    let likeliest = Set(teacher.indices.sorted { teacher[$0] > teacher[$1] }.prefix(5))
    // The definition, in double precision.
    func divergence(_ student: [Double]) -> Double {
      let top = likeliest.sorted()
      let (a, b) = (top.map { exp(Double(teacher[$0]) / 2) }, top.map { exp(student[$0] / 2) })
      let (p, q) = (a.map { $0 / a.reduce(0, +) }, b.map { $0 / b.reduce(0, +) })
      return 4 * zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
    }
    var gradient = student
    var span = gradient.mutableSpan
    let losses = distillTopRow(
      logits: &span, teacher: teacher.span, target: 3, shape, labelScale: 0, teacherScale: 1)
    let values = student.map(Double.init)
    #expect(abs(losses.divergence - divergence(values)) < 1e-12)
    for i in values.indices {
      let slope = [1e-4, -1e-4].map { step in
        var moved = values
        moved[i] += step
        return divergence(moved)
      }
      #expect(abs((slope[0] - slope[1]) / 2e-4 - Double(gradient[i])) < 1e-6)
      #expect((gradient[i] == 0) == !likeliest.contains(i))
    }
  }

  @Test func `finds the largest values, the first of equal ones`() {
    var values = randomFloats(5_000, seed: 9, size: 3) + [-.infinity, .infinity, 0, -0.0, 1e-40, -1e-40]
    for i in stride(from: 0, to: 600, by: 3) { values[i] = 2.5 }
    for count in [0, 1, 2, 57, 700, 4_999, values.count] {
      let expected = values.indices.sorted { (values[$1], $0) < (values[$0], $1) }.prefix(count)
      #expect(indicesOfLargest(count, of: values.span).sorted() == expected.sorted(), "\(count)")
    }
  }

  @Test(arguments: InstructionSet.supported)
  func `a student like its teacher has nothing to learn from it`(set: InstructionSet) {
    let teacher = randomFloats(100, seed: 8, size: 5)
    var logits = teacher
    var span = logits.mutableSpan
    let losses = distillRow(
      logits: &span, teacher: teacher.span, target: 3, labelScale: 0, teacherScale: 1, on: set)
    #expect(losses.divergence == 0)
    #expect(logits.allSatisfy { $0 == 0 })
  }

  @Test(arguments: InstructionSet.supported, counts)
  func `scores a token and its gradient as the plain loop does`(set: InstructionSet, count: Int) {
    for target in [0, count / 2, count - 1] {
      var actual = randomFloats(count, seed: 6, size: 10)
      var expected = actual
      var actualSpan = actual.mutableSpan
      var expectedSpan = expected.mutableSpan
      let loss = crossEntropyRow(logits: &actualSpan, target: target, gradientScale: 0.5, on: set)
      let expectedLoss = crossEntropyRowReference(logits: &expectedSpan, target: target, gradientScale: 0.5)
      #expect(abs(loss - expectedLoss) < Double(relativeError + scoreError))
      // At the target one is taken off a probability near it: errors are relative to one.
      expectClose(
        actual, expected, relative: relativeError + scoreError, absolute: relativeError + scoreError)
    }
  }
}
