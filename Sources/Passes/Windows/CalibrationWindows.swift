package import Checkpoints
package import Models

/// The windows of tokens that calibration trains on and those it holds back.
package struct CalibrationWindows: Sendable {
  /// Trained on, in this order again and again.
  package let training: [CalibrationWindow]
  /// Held back to choose the best state.
  package let validation: [CalibrationWindow]
  /// The examples that were longer than a window, of all that the texts have.
  package let cutCount: Int

  /// All windows, those for validation last.
  package var all: [CalibrationWindow] { training + validation }

  /// The tokens of all windows, those for validation last.
  package var tokens: [[Int32]] { all.map(\.tokens) }

  /// Draws windows from texts and lets the original model write the others.
  ///
  /// Each text is cut without overlap; when it has more windows than its share, they are drawn with the seed and kept in the
  /// order of the text, and the last ones are held back. Windows of several origins are mixed evenly.
  ///
  /// - Parameters:
  ///   - source: What is asked for.
  ///   - input: The checkpoint whose tokenizer is used.
  ///   - original: The model that writes windows, with the same tokens.
  ///   - work: Where those that the model writes are kept.
  ///   - progress: Told of windows that are written.
  /// - Throws: `ModelError.textTooShort` when a text has fewer windows than its share; what reading and writing them throws.
  package init(
    _ source: WindowSource, input: Checkpoint, original: Checkpoint, work: WorkFiles,
    progress: @escaping ProgressHandler = { _ in }
  ) throws {
    let texts = try Self.fromTexts(source, input: input)
    var origins = texts.origins
    if source.sampledCount > 0 {
      let sampled = SampledWindows(
        source, original: original, work, progress: progress)
      let windows = try sampled.windows().map { CalibrationWindow(tokens: $0) }
      origins.append((Array(windows.prefix(source.sampled)), Array(windows.dropFirst(source.sampled))))
    }
    training = origins.map(\.training).mixed
    validation = origins.map(\.validation).mixed
    cutCount = texts.cutCount
  }

  /// Expects that the texts have as many windows as they are asked for.
  ///
  /// - Parameters:
  ///   - source: What is asked for.
  ///   - input: The checkpoint whose tokenizer is used.
  /// - Throws: As drawing them does.
  static func requireTexts(_ source: WindowSource, for input: Checkpoint) throws {
    _ = try fromTexts(source, input: input)
  }

  /// The windows of each text, and how many examples of all texts were longer than a window.
  private static func fromTexts(
    _ source: WindowSource, input: Checkpoint
  ) throws -> (origins: [(training: [CalibrationWindow], validation: [CalibrationWindow])], cutCount: Int) {
    let vocabulary = try WindowVocabulary(of: input)
    var origins: [(training: [CalibrationWindow], validation: [CalibrationWindow])] = []
    var cutCount = 0
    let readsTexts = source.samples > source.sampled || source.validation > 0
    for (index, path) in source.texts.enumerated() where readsTexts {
      let text = try WindowText(
        path, length: source.length, takesExamples: source.takesExamples, vocabulary)
      let count = (source.samples - source.sampled).share(index, of: source.texts.count)
      let held = source.validation.share(index, of: source.texts.count)
      let drawn = try text.draw(count + held, seed: source.seed, length: source.length)
      origins.append((Array(drawn.prefix(count)), Array(drawn.dropFirst(count))))
      cutCount += text.cutCount
    }
    return (origins, cutCount)
  }

  /// Draws windows from texts alone.
  ///
  /// - Parameters:
  ///   - source: What is asked for; the model writes none of it.
  ///   - input: The checkpoint whose tokenizer is used.
  /// - Throws: `ModelError.textTooShort` when a text has fewer windows than its share; what reading them throws.
  package init(_ source: WindowSource, ofTextsFor input: Checkpoint) throws {
    precondition(source.sampledCount == 0, "\(source.sampledCount) windows are not from texts")
    try self.init(source, input: input, original: input, work: WorkFiles { $0 })
  }
}

extension Int {
  /// The part of this number that one of several origins has; what does not divide evenly is the first one's.
  fileprivate func share(_ index: Int, of count: Int) -> Int {
    self / count + (index == 0 ? self % count : 0)
  }
}

extension [[CalibrationWindow]] {
  /// The windows of all lists, each list spread evenly over the whole and in its own order.
  fileprivate var mixed: [CalibrationWindow] {
    let placed = enumerated().flatMap { list, windows in
      windows.enumerated().map { index, window in
        (place: (Double(index) + 0.5) / Double(windows.count), list: list, window: window)
      }
    }
    return placed.sorted { ($0.place, $0.list) < ($1.place, $1.list) }.map(\.window)
  }
}
