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
    let path = options.text.resolved
    let tokens = try tokenizer.encode(contentsOf: path)
    let needed = options.samples + options.validation
    guard tokens.count / options.length >= needed else {
      throw ModelError.textTooShort(path: path, tokens: tokens.count, needed: needed * options.length)
    }
    var windows = try Models.windows(of: tokens, length: options.length, path: path)
    if windows.count > needed {
      var generator = NormalGenerator(seed: options.seed, name: "calibration windows")
      let keys = windows.map { _ in generator.next() }
      let chosen = windows.indices.sorted { keys[$0] < keys[$1] }.prefix(needed).sorted()
      windows = chosen.map { windows[$0] }
    }
    training = Array(windows.prefix(options.samples))
    validation = Array(windows.dropFirst(options.samples))
  }
}
