import Checkpoints
import Kernels
import Models

/// The windows of one text file.
struct WindowText {
  let path: String
  /// All windows of the file, in order.
  let windows: [CalibrationWindow]
  private let tokenCount: Int
  /// The number of examples that were longer than a window.
  let cutCount: Int

  /// Reads a file and cuts it into windows.
  ///
  /// Plain text is tokenized at once. In JSON lines with a `text`, each text is tokenized separately and
  /// followed by the end-of-text token, if the model has one; all tokens together are then cut without
  /// overlap. Each JSON line with a `prompt` and a `completion` is a window of its own.
  ///
  /// - Parameters:
  ///   - path: UTF-8; JSON lines when the name ends in `.jsonl`.
  ///   - length: The number of tokens per window.
  ///   - takesExamples: Whether prompts with completions are accepted.
  ///   - vocabulary: The tokenizer and special tokens.
  /// - Throws: `FormatError` with the byte or the line; `ModelError.noToken`.
  init(_ path: String, length: Int, takesExamples: Bool, _ vocabulary: WindowVocabulary) throws {
    guard JSONLines.isName(path) else {
      self.init(path, try vocabulary.tokenizer.encode(contentsOf: path), length)
      return
    }
    let lines = try JSONLines(contentsOf: path).lines
    if lines[0].object["messages"] != nil {
      throw lines[0].malformed(
        "has 'messages', whose chat template is not known; give 'prompt' and 'completion'")
    }
    guard takesExamples, lines[0].object["prompt"] != nil || lines[0].object["completion"] != nil else {
      let end = try vocabulary.endToken().map { [$0] } ?? []
      let tokens = try lines.flatMap { try vocabulary.tokenizer.encode($0.text("text")) + end }
      self.init(path, tokens, length)
      return
    }
    guard let end = try vocabulary.endToken() else { throw vocabulary.lacksEndToken }
    self.init(
      path, try lines.map { try FineTuningExample($0, length: length, vocabulary.tokenizer, endToken: end) })
  }

  private init(_ path: String, _ examples: [FineTuningExample]) {
    self.path = path
    windows = examples.map(\.window)
    tokenCount = windows.reduce(0) { $0 + $1.tokens.count }
    cutCount = examples.count(where: \.isCut)
  }

  /// Cuts tokens into windows and drops an incomplete last one.
  private init(_ path: String, _ tokens: [Int32], _ length: Int) {
    self.path = path
    tokenCount = tokens.count
    cutCount = 0
    windows = (0..<tokens.count / length).map { index in
      CalibrationWindow(tokens: Array(tokens[index * length..<(index + 1) * length]))
    }
  }

  /// Draws windows in the order of the file; if there are more than requested, the choice is random.
  ///
  /// - Parameters:
  ///   - count: The number of windows.
  ///   - seed: The seed of the choice.
  ///   - length: The number of tokens per window, for the error.
  /// - Returns: `count` windows.
  /// - Throws: `ModelError` or `PassError` when there are fewer.
  func draw(_ count: Int, seed: UInt64, length: Int) throws -> [CalibrationWindow] {
    guard windows.count >= count else {
      if windows.contains(where: { $0.isScored != nil }) {
        throw PassError.usage("\(path): has \(windows.count) examples, but \(count) are requested")
      }
      throw ModelError.textTooShort(
        path: path, tokens: tokenCount, needed: count * length, fitting: windows.count)
    }
    guard windows.count > count else { return windows }
    var generator = NormalGenerator(seed: seed, name: "calibration windows")
    let keys = windows.map { _ in generator.next() }
    return windows.indices.sorted { keys[$0] < keys[$1] }.prefix(count).sorted().map { windows[$0] }
  }
}

/// The tokenizer and special tokens of a checkpoint.
struct WindowVocabulary {
  let tokenizer: Tokenizer
  private let checkpoint: Checkpoint

  init(of checkpoint: Checkpoint) throws {
    tokenizer = try Tokenizer(of: checkpoint)
    self.checkpoint = checkpoint
  }

  /// The end-of-text token, or nil if the model has none.
  func endToken() throws -> Int32? { try TextBoundaries(of: checkpoint).endTokens.first }

  /// The error of a text that needs the end-of-text token.
  var lacksEndToken: ModelError {
    .noToken(path: checkpoint.path, "token that ends a text, which completions need")
  }
}
