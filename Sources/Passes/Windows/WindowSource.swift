package import Kernels

/// The source of the token windows for quantization or calibration.
package struct WindowSource: Sendable, Equatable {
  /// Files of text or of JSON lines, which share the windows that are not generated.
  package var texts: TextList<String>
  /// The number of training windows, including generated ones.
  package var samples: Int
  /// The number of windows that the original model generates.
  package var sampled: Int
  /// The number of windows held back, from the texts; without texts they are generated too.
  package var validation: Int
  /// The number of tokens per window; examples of a prompt and its completion can be shorter.
  package var length: Int
  /// The seed of all random choices.
  package var seed: UInt64
  /// Whether a text can be a list of prompts with completions.
  package var takesExamples: Bool
  /// The precision of products with weights in the model that generates windows.
  package var products: ProductOperands

  /// Describes windows.
  package init(
    texts: TextList<String>, samples: Int, sampled: Int = 0, validation: Int = 0, length: Int, seed: UInt64,
    takesExamples: Bool = false, products: ProductOperands = .f32
  ) {
    precondition((0...samples).contains(sampled), "\(sampled) of \(samples) windows")
    self.texts = texts
    self.samples = samples
    self.sampled = sampled
    self.validation = validation
    self.length = length
    self.seed = seed
    self.takesExamples = takesExamples
    self.products = products
  }

  /// The number of generated windows, including those held back.
  var sampledCount: Int { sampled + (texts.isEmpty ? validation : 0) }

  /// The numbers of windows of each text, in order, and then of the model that generates some.
  var origins: [WindowOrigin] {
    let texts = texts.indices.map { index in
      WindowOrigin(
        text: self.texts[index], training: self.texts.windowCount(at: index, of: samples - sampled),
        validation: self.texts.windowCount(at: index, of: validation))
    }
    guard sampledCount > 0 else { return texts }
    return texts + [WindowOrigin(text: nil, training: sampled, validation: sampledCount - sampled)]
  }
}

/// Where some windows come from.
public struct WindowOrigin: Sendable, Equatable {
  /// The path of a text; nil for the original model, which writes windows.
  public let text: String?
  /// The number of windows that are read for statistics or training.
  public let training: Int
  /// The number of windows held back.
  public let validation: Int
}

/// One window of tokens.
package struct CalibrationWindow: Sendable, Equatable {
  /// The tokens, at least two.
  package let tokens: [Int32]
  /// Whether each token is predicted; nil means all but the first; the first token is never predicted.
  package let isScored: [Bool]?

  /// Joins tokens with the mask of those to predict.
  package init(tokens: [Int32], isScored: [Bool]? = nil) {
    precondition(isScored.map { $0.count == tokens.count } ?? true, "one truth value for each token")
    self.tokens = tokens
    self.isScored = isScored
  }
}
