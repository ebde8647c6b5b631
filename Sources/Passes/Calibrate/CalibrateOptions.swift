public import Kernels
public import Models

/// The parameters that calibration can train.
public enum Trainable: String, Sendable, CaseIterable {
  /// The factors A and B of every adapter.
  case adapter
  /// The group biases; the change is a separate tensor until merge.
  case bias
  /// The group scales; the change is a separate tensor until merge.
  case scale
  /// The codes, which are replaced in place.
  case code
}

/// The options of the calibrate pass.
public struct CalibrateOptions: PassOptionValues {
  /// The texts of windows, UTF-8, plain or JSON lines; empty when the model generates all windows.
  public var texts: TextList<PathOption> = []
  /// The number of training windows, at least 1.
  public var samples = 256
  /// The number of training windows that the original model generates, at most `samples`.
  public var sampled = 0
  /// The number of tokens per window, at least 2.
  public var length = 512
  /// The number of optimizer steps, at least 1.
  public var updates = 200
  /// The number of windows per update, at least 1.
  public var batch = 8
  /// The peak learning rate, above 0 and at most 1; nil chooses it by the trained parts.
  public var learningRate: Double?
  /// The factor of the learning rate for each part.
  public var learningRateScale = LearningRateScale()
  /// The number of windows held back to choose the best state; 0 for none.
  public var validation = 16
  /// The number of validations without progress after which calibration stops, at least 1.
  public var patience = 5
  /// The number of updates between two validations, at least 1.
  public var validateEvery = 25
  /// The seed of the order of windows.
  public var seed: UInt64 = 1
  /// The weight of the distance to the original model's output, at least 0.
  public var modelWeight = 0.5
  /// The weight of the next token's cross-entropy, at least 0.
  public var groundTruthWeight = 0.5
  /// The weight of the divergence from the original's distribution, at least 0; at least one weight is above
  /// 0.
  public var klWeight = 0.0
  /// The number of the original's most probable tokens that the divergence compares, at least 2; nil compares
  /// all.
  public var klTopK: Int?
  /// Temperature of the KL loss, above 0.
  public var klTemperature = 1.0
  /// The place where the model is compared with the original.
  public var scope = LossScope.model
  /// The course of the learning rate over the updates.
  public var schedule = LearningRateShape.constant
  /// The number of updates over which the learning rate rises, at least 0 and below `updates`.
  public var warmup = 0
  /// The operands rounded to 16 bits for products with weights and in attention, in this model and the
  /// original.
  public var products = ProductOperands.f32
  /// The original model to match; nil selects the recipe's input.
  public var teacher: PathOption?
  /// The parameters to train; nil selects the adapters, or biases and scales if there are no adapters.
  public var train: [Trainable]?

  /// Every option has its default.
  public init() {}
}

extension CalibrateOptions {
  /// The requested windows.
  var windowSource: WindowSource {
    WindowSource(
      texts: texts.mapPaths(\.resolved), samples: samples, sampled: sampled, validation: validation,
      length: length, seed: seed, takesExamples: true, products: products)
  }
}
