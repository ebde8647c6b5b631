import Kernels

/// One step's factors.
///
/// Source: Adam, arXiv:1412.6980, β₁ 0.9, β₂ 0.999, ε 1e-8, as in PyTorch.
struct AdamStep {
  private static let beta1 = 0.9
  private static let beta2 = 0.999
  private static let epsilon = 1e-8
  private var learningRate: Double
  private let biasCorrection1: Double
  private let biasCorrection2: Double

  init(learningRate: Double, updateCount: Int) {
    self.learningRate = learningRate
    biasCorrection1 = 1 - power(Self.beta1, updateCount)
    biasCorrection2 = 1 - power(Self.beta2, updateCount)
  }

  /// The same step with another learning rate.
  func scaled(by factor: Double) -> AdamStep {
    var step = self
    step.learningRate *= factor
    return step
  }

  func apply(_ gradient: [Float], to values: inout [Float], _ moments: inout AdamMoments) {
    apply(gradient, to: &values, &moments.first, &moments.second)
  }

  private func apply(
    _ gradient: [Float], to values: inout [Float], _ firstMoments: inout [Float],
    _ secondMoments: inout [Float]
  ) {
    var parameters = values.mutableSpan
    var first = firstMoments.mutableSpan
    var second = secondMoments.mutableSpan
    adamStep(
      parameters: &parameters, gradients: gradient.span, firstMoments: &first, secondMoments: &second,
      learningRate: learningRate, beta1: Self.beta1, beta2: Self.beta2, epsilon: Self.epsilon,
      biasCorrection1: biasCorrection1, biasCorrection2: biasCorrection2)
  }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
  (0..<exponent).reduce(1.0) { product, _ in product * base }
}

/// Adam's running means for one list of parameters.
struct AdamMoments {
  var first: [Float]
  var second: [Float]

  init(count: Int) {
    first = [Float](repeating: 0, count: count)
    second = first
  }
}

extension AdamMoments {
  mutating func visit(_ body: (inout [Float]) throws -> Void) rethrows {
    try body(&first)
    try body(&second)
  }
}
