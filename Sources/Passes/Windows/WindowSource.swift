package import Kernels

/// Where the windows of tokens come from that a model is quantized or calibrated with.
package struct WindowSource: Sendable, Equatable {
  /// Files of text, or of JSON lines; the windows that the model does not write are shared evenly among them.
  package var texts: [String]
  /// The windows, those that the model writes included.
  package var samples: Int
  /// How many of them the original model writes itself.
  package var sampled: Int
  /// The windows held back, from the texts; without any text the model writes them, too.
  package var validation: Int
  /// The tokens a window; examples of a prompt with its completion may be shorter.
  package var length: Int
  /// The seed of everything that is drawn.
  package var seed: UInt64
  /// Whether a text may be a list of prompts with their completions.
  package var takesExamples: Bool
  /// What the model that writes windows rounds for its products with weights.
  package var products: ProductOperands

  /// Describes windows.
  package init(
    texts: [String], samples: Int, sampled: Int = 0, validation: Int = 0, length: Int, seed: UInt64,
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

  /// The windows that the model writes, those held back included.
  var sampledCount: Int { sampled + (texts.isEmpty ? validation : 0) }
}

/// One window of tokens.
package struct CalibrationWindow: Sendable, Equatable {
  /// The tokens, at least two.
  package let tokens: [Int32]
  /// Whether each token is one to be predicted, the first one never; nil means all but the first.
  package let isScored: [Bool]?

  /// Names the tokens, and which of them are to be predicted.
  package init(tokens: [Int32], isScored: [Bool]? = nil) {
    precondition(isScored.map { $0.count == tokens.count } ?? true, "one truth value for each token")
    self.tokens = tokens
    self.isScored = isScored
  }
}
