import Checkpoints
package import Models

/// The windows of tokens that calibration trains on and those it holds back.
package struct CalibrationWindows: Sendable {
  /// Trained on, in this order again and again.
  package let training: [[Int32]]
  /// Held back to choose the best state.
  package let validation: [[Int32]]

  /// All windows, those for validation last.
  package var all: [[Int32]] { training + validation }

  /// Names windows directly.
  package init(training: [[Int32]], validation: [[Int32]]) {
    self.training = training
    self.validation = validation
  }

  /// Cuts a text into windows and draws from them.
  ///
  /// The text is cut without overlap; when it has more windows than are asked for, as many as are needed are drawn
  /// with the seed and kept in the order of the text, and the last ones are held back.
  ///
  /// - Throws: `ModelError.textTooShort` when the text has fewer windows.
  package init(_ options: CalibrateOptions, tokenizer: Tokenizer) throws {
    try self.init(
      text: options.text.resolved, samples: options.samples, validation: options.validation,
      length: options.length, seed: options.seed, tokenizer: tokenizer)
  }

  /// Cuts a text into windows and draws from them, with the options by themselves.
  package init(
    text path: String, samples: Int, validation: Int = 0, length: Int, seed: UInt64, tokenizer: Tokenizer
  ) throws {
    let tokens = try tokenizer.encode(contentsOf: path)
    let needed = samples + validation
    guard tokens.count / length >= needed else {
      throw ModelError.textTooShort(path: path, tokens: tokens.count, needed: needed * length)
    }
    var windows = try Models.windows(of: tokens, length: length, path: path)
    if windows.count > needed {
      var generator = NormalGenerator(seed: seed, name: "calibration windows")
      let keys = windows.map { _ in generator.next() }
      let chosen = windows.indices.sorted { keys[$0] < keys[$1] }.prefix(needed).sorted()
      windows = chosen.map { windows[$0] }
    }
    training = Array(windows.prefix(samples))
    self.validation = Array(windows.dropFirst(samples))
  }
}
