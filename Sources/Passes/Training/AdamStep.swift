import Kernels

/// The factors of one step.
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
    biasCorrection1 = 1 - Self.power(Self.beta1, updateCount)
    biasCorrection2 = 1 - Self.power(Self.beta2, updateCount)
  }

  /// Multiplied out, because the results of `pow` differ between versions of the C library, and training must
  /// be reproducible.
  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1.0) { product, _ in product * base }
  }

  /// Returns the step with its learning rate multiplied by a factor.
  func scaled(by factor: Double) -> AdamStep {
    var step = self
    step.learningRate *= factor
    return step
  }

  fileprivate func apply(
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

/// Adam's moving averages for one list of parameters.
struct AdamMoments {
  private var first: [Float]
  private var second: [Float]

  /// The number of parameters.
  var count: Int { first.count }

  init(count: Int) {
    first = [Float](repeating: 0, count: count)
    second = first
  }

  /// Takes a step with the parameters that the averages belong to.
  mutating func take(_ step: AdamStep, _ gradient: [Float], to parameters: inout [Float]) {
    step.apply(gradient, to: &parameters, &first, &second)
  }

  mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&first)
    try archive.exchange(&second)
  }
}
