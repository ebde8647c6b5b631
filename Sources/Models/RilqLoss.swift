package import Kernels

/// The parts of the loss of a window.
public struct RilqLoss: Sendable, Equatable {
  /// Mean squared difference of the hidden states after the final norm, over tokens and features.
  ///
  /// In a local scope: the mean, over the compared outputs, of the difference relative to the original's
  /// output.
  public var modelLoss: Double
  /// Mean cross entropy of the scored tokens, in nats.
  public var groundTruthLoss: Double
  /// Mean Kullback–Leibler divergence from the original's distribution at the scored tokens, in nats, times
  /// the square of its temperature; 0 when it is not part of the objective.
  public var divergence: Double

  /// Joins the parts.
  public init(modelLoss: Double = 0, groundTruthLoss: Double = 0, divergence: Double = 0) {
    self.modelLoss = modelLoss
    self.groundTruthLoss = groundTruthLoss
    self.divergence = divergence
  }

  /// Returns the weighted sum that is minimised.
  public func total(_ weights: RilqLossWeights) -> Double {
    weights.model * modelLoss + weights.groundTruth * groundTruthLoss + weights.divergence * divergence
  }

  /// Adds another window's loss, multiplied by `share`.
  package mutating func add(_ loss: RilqLoss, share: Double) {
    modelLoss += loss.modelLoss * share
    groundTruthLoss += loss.groundTruthLoss * share
    divergence += loss.divergence * share
  }
}

/// The weights of the loss's parts; the paper uses 0.5 for the first two.
public struct RilqLossWeights: Sendable, Equatable {
  /// The factor of the model loss.
  public var model: Double
  /// The factor of the ground-truth loss.
  public var groundTruth: Double
  /// The factor of the divergence.
  public var divergence: Double

  /// Chooses factors.
  public init(model: Double = 0.5, groundTruth: Double = 0.5, divergence: Double = 0) {
    self.model = model
    self.groundTruth = groundTruth
    self.divergence = divergence
  }
}

/// The objective that calibration minimises.
package struct RilqObjective: Sendable {
  /// The factors of the parts.
  package let weights: RilqLossWeights
  /// The original's output head, which gives the distribution to match; nil without divergence.
  package let teacherHead: LinearGroup?
  /// The tokens and temperature of the divergence.
  package let divergence: DivergenceShape

  /// Joins weights with the head of the original model; a weight for the divergence requires the head.
  package init(
    _ weights: RilqLossWeights = RilqLossWeights(), teacherHead: LinearGroup? = nil,
    divergence: DivergenceShape = DivergenceShape()
  ) {
    precondition(weights.divergence == 0 || teacherHead != nil, "a divergence from no one's distribution")
    self.weights = weights
    self.divergence = divergence
    self.teacherHead = weights.divergence > 0 ? teacherHead : nil
  }
}

/// A window with the original model's output for it.
package struct TrainingWindow: Sendable {
  /// The tokens, at least two.
  package let tokens: [Int32]
  /// The original model's hidden state after the final norm, `[tokens, hidden]`.
  package let teacher: [Float]
  /// Whether each token counts in the ground-truth loss and the divergence; nil means all do.
  ///
  /// The first token never counts.
  package let isScored: [Bool]?

  package init(tokens: [Int32], teacher: [Float], isScored: [Bool]? = nil) {
    self.tokens = tokens
    self.teacher = teacher
    self.isScored = isScored
  }

  /// The number of tokens that count.
  var scoredCount: Int { isScored.map { $0.dropFirst().count { $0 } } ?? tokens.count - 1 }

  func scores(_ token: Int) -> Bool { isScored?[token] ?? true }
}
