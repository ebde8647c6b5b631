import Foundation
import Kernels
import Testing

@Suite struct AdamTests {
  private struct State {
    var parameters: [Float]
    var firstMoments: [Float]
    var secondMoments: [Float]

    init(_ parameters: [Float]) {
      self.parameters = parameters
      firstMoments = parameters.map { _ in 0 }
      secondMoments = firstMoments
    }

    mutating func step(
      _ number: Int, _ gradients: [Float], learningRate: Double, limit: Double = .infinity,
      on set: InstructionSet?
    ) {
      var (newParameters, newFirst, newSecond) = (parameters, firstMoments, secondMoments)
      defer { (parameters, firstMoments, secondMoments) = (newParameters, newFirst, newSecond) }
      var p = newParameters.mutableSpan
      var m = newFirst.mutableSpan
      var v = newSecond.mutableSpan
      let (c1, c2) = (1 - pow(0.9, Double(number)), 1 - pow(0.999, Double(number)))
      if let set {
        adamStep(
          parameters: &p, gradients: gradients.span, firstMoments: &m, secondMoments: &v,
          learningRate: learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, biasCorrection1: c1,
          biasCorrection2: c2, limit: limit, on: set)
      } else {
        adamStepReference(
          parameters: &p, gradients: gradients.span, firstMoments: &m, secondMoments: &v,
          learningRate: learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, biasCorrection1: c1,
          biasCorrection2: c2, limit: limit)
      }
    }
  }

  /// A step has about ten roundings of 2^-24 relative to its size, which is at most a few learning rates.
  private let stepError: Float = 16 * 0x1p-24

  @Test(arguments: InstructionSet.supported)
  func `takes the steps of PyTorch`(set: InstructionSet) {
    var state = State([0.5, -1.25, 3.0, 0.001])
    let gradients: [[Float]] = [[0.1, -2.0, 1e-6, 0.0], [0.3, 1.0, -1e-6, 5.0], [-0.2, 0.5, 1e-3, -5.0]]
    for (i, gradients) in gradients.enumerated() { state.step(i + 1, gradients, learningRate: 1e-2, on: set) }
    // Three steps of torch.optim.Adam, PyTorch 2.15, f32.
    expectClose(
      state.parameters, [0.4782431721687317, -1.236722707748413, 2.9842326641082764, -0.005989545490592718],
      relative: 0x1p-23, absolute: 3e-2 * stepError)
    expectClose(
      state.firstMoments,
      [0.015100003220140934, -0.02199999988079071, 9.999100439017639e-05, -0.05000000819563866],
      relative: stepError, absolute: 1e-7)
    expectClose(
      state.secondMoments,
      [0.00013989002036396414, 0.005241004284471273, 1.0000021921641178e-09, 0.04997500404715538],
      relative: stepError, absolute: 0)
  }

  @Test(arguments: InstructionSet.supported, [0, 1, 15, 16, 17, 33, 100])
  func `takes the steps of the plain loop`(set: InstructionSet, count: Int) {
    for limit in [Double.infinity, 0.03] {
      var actual = State(randomFloats(count, seed: 1))
      var expected = actual
      for number in 1...3 {
        let gradients = randomFloats(count, seed: UInt64(number), size: 0.1)
        actual.step(number, gradients, learningRate: 1e-3, limit: limit, on: set)
        expected.step(number, gradients, learningRate: 1e-3, limit: limit, on: nil)
      }
      // Three steps of at most 3e-3, and each sum rounds a parameter of at most 1.
      expectClose(
        actual.parameters, expected.parameters, relative: 0, absolute: 9e-3 * stepError + 3 * 0x1p-24)
    }
  }

  /// After one step the root is the gradient's size, so that the step is the learning rate, or below it by the
  /// limit over that size.
  @Test(arguments: InstructionSet.supported) func `a root above the limit shortens the step`(
    set: InstructionSet
  ) {
    var state = State([0, 0, 0, 0])
    state.step(1, [0.25, -0.5, 1, -8], learningRate: 0.1, limit: 0.5, on: set)
    expectClose(state.parameters, [-0.1, 0.1, -0.05, 0.00625], relative: 1e-6, absolute: 0)
  }
}
