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
    _ secondMoments: inout [Float], limit: Double = .infinity
  ) {
    var parameters = values.mutableSpan
    var first = firstMoments.mutableSpan
    var second = secondMoments.mutableSpan
    adamStep(
      parameters: &parameters, gradients: gradient.span, firstMoments: &first, secondMoments: &second,
      learningRate: learningRate, beta1: Self.beta1, beta2: Self.beta2, epsilon: Self.epsilon,
      biasCorrection1: biasCorrection1, biasCorrection2: biasCorrection2, limit: limit)
  }

  /// Returns the root of the second moment that a part of them does not exceed.
  ///
  /// - Parameters:
  ///   - part: From 0 to 1.
  ///   - moments: Second moments after this step, as `AdamMoments` gives them.
  /// - Returns: Infinity when there are no moments.
  func root(notExceededBy part: Double, of moments: [Float]) -> Double {
    guard !moments.isEmpty else { return .infinity }
    let moment = moments.sorted()[Int(Double(moments.count - 1) * part)]
    return (Double(moment) / biasCorrection2).squareRoot()
  }

  /// A second moment after a step with a gradient.
  fileprivate func moment(_ before: Float, _ gradient: Float) -> Float {
    Float(Self.beta2) * before + Float(1 - Self.beta2) * gradient * gradient
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
  ///
  /// - Parameters:
  ///   - step: The step.
  ///   - gradient: The gradients of the parameters.
  ///   - parameters: The parameters.
  ///   - limit: The root of a second moment above which a parameter moves less; see `adamStep`.
  mutating func take(
    _ step: AdamStep, _ gradient: [Float], to parameters: inout [Float], limit: Double = .infinity
  ) {
    step.apply(gradient, to: &parameters, &first, &second, limit: limit)
  }

  /// Returns a second moment as it will be after a step with a gradient.
  func secondMoment(_ index: Int, after gradient: Float, _ step: AdamStep) -> Float {
    step.moment(second[index], gradient)
  }

  mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&first)
    try archive.exchange(&second)
  }
}
