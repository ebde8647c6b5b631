public import Kernels
public import Models

/// What calibration may change.
public enum Trainable: String, Sendable, CaseIterable {
  /// The A and B of every adapter.
  case adapter
  /// The group biases; the change is kept beside them until merge.
  case bias
  /// The group scales; the change is kept beside them until merge.
  case scale
  /// The codes; they are replaced, nothing is kept beside them.
  case code
}

/// What the calibrate pass does.
public struct CalibrateOptions: PassOptionValues {
  /// The texts that windows are taken from, UTF-8, plain or JSON lines; none when the model writes all of them.
  public var texts: [PathOption] = []
  /// The windows trained on, at least 1.
  public var samples = 256
  /// The windows trained on that the original model writes itself, at most `samples`.
  public var sampled = 0
  /// The tokens a window, at least 2.
  public var length = 512
  /// The steps of the optimizer, at least 1.
  public var updates = 200
  /// The windows of one update, at least 1.
  public var batch = 8
  /// The peak step size, above 0 and at most 1; nil leaves it to what is trained.
  public var learningRate: Double?
  /// The share of it that each part takes.
  public var learningRateScale = LearningRateScale()
  /// The windows kept back to choose the best state; 0 for none.
  public var validation = 16
  /// The validations without progress after which calibration stops, at least 1.
  public var patience = 5
  /// The updates between two validations, at least 1.
  public var validateEvery = 25
  /// The seed of the order of windows.
  public var seed: UInt64 = 1
  /// The weight of the distance to the original model's output, at least 0.
  public var modelWeight = 0.5
  /// The weight of the next token's cross-entropy, at least 0.
  public var groundTruthWeight = 0.5
  /// The weight of the divergence from the original's distribution, at least 0; not all weights are 0.
  public var klWeight = 0.0
  /// The tokens, likeliest to the original, that the divergence compares, at least 2; nil means all.
  public var klTopK: Int?
  /// What logits are divided by for the divergence, above 0.
  public var klTemperature = 1.0
  /// Where the model is compared with the original.
  public var scope = LossScope.model
  /// How the learning rate goes over the updates.
  public var schedule = LearningRateShape.constant
  /// The updates over which the learning rate rises, at least 0 and below `updates`.
  public var warmup = 0
  /// What is rounded to 16 bits for products with weights and in attention, of this model and of the original.
  public var products = ProductOperands.f32
  /// The original model, which the output is to match; nil means the input of the recipe.
  public var teacher: PathOption?
  /// What is trained; nil means the adapters, or without adapters biases and scales.
  public var train: [Trainable]?

  /// Every option has its default.
  public init() {}
}

extension CalibrateOptions {
  /// The windows that are asked for.
  var windowSource: WindowSource {
    WindowSource(
      texts: texts.map(\.resolved), samples: samples, sampled: sampled, validation: validation,
      length: length, seed: seed, takesExamples: true, products: products)
  }
}
