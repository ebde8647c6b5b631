import Checkpoints
import Kernels
import Models

/// The windows of one file of text.
struct WindowText {
  let path: String
  /// All windows that the file has, in its order.
  let windows: [CalibrationWindow]
  private let tokenCount: Int
  /// The examples that were longer than a window.
  let cutCount: Int

  /// Reads a file and cuts it into windows.
  ///
  /// A plain text is tokenized at once. Of JSON lines with a `text`, each is tokenized by itself, and the token for the end
  /// of a text is put behind each, where the model has one; all tokens together are then cut without overlap. JSON
  /// lines with a `prompt` and a `completion` are windows by themselves.
  ///
  /// - Parameters:
  ///   - path: UTF-8; JSON lines when the name ends in `.jsonl`.
  ///   - length: The tokens of a window.
  ///   - takesExamples: Whether prompts with completions will do.
  ///   - vocabulary: What texts become tokens with.
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

  /// Cuts tokens into windows; the incomplete last one is dropped.
  private init(_ path: String, _ tokens: [Int32], _ length: Int) {
    self.path = path
    tokenCount = tokens.count
    cutCount = 0
    windows = (0..<tokens.count / length).map { index in
      CalibrationWindow(tokens: Array(tokens[index * length..<(index + 1) * length]))
    }
  }

  /// Draws windows: when there are more than are asked for, by chance; always in the order of the file.
  ///
  /// - Parameters:
  ///   - count: How many.
  ///   - seed: The seed of the choice.
  ///   - length: The tokens of a window, for the error.
  /// - Returns: As many windows.
  /// - Throws: `ModelError` or `PassError` when there are fewer.
  func draw(_ count: Int, seed: UInt64, length: Int) throws -> [CalibrationWindow] {
    guard windows.count >= count else {
      if windows.contains(where: { $0.isScored != nil }) {
        throw PassError.usage("\(path): has \(windows.count) examples, \(count) are asked for")
      }
      throw ModelError.textTooShort(path: path, tokens: tokenCount, needed: count * length)
    }
    guard windows.count > count else { return windows }
    var generator = NormalGenerator(seed: seed, name: "calibration windows")
    let keys = windows.map { _ in generator.next() }
    return windows.indices.sorted { keys[$0] < keys[$1] }.prefix(count).sorted().map { windows[$0] }
  }
}

/// What texts become tokens with.
struct WindowVocabulary {
  let tokenizer: Tokenizer
  private let checkpoint: Checkpoint

  init(of checkpoint: Checkpoint) throws {
    tokenizer = try Tokenizer(of: checkpoint)
    self.checkpoint = checkpoint
  }

  /// The token behind a text, or nil when the model has none.
  func endToken() throws -> Int32? { try TextBoundaries(of: checkpoint).endTokens.first }

  /// The error of a text that needs such a token.
  var lacksEndToken: ModelError {
    .noToken(path: checkpoint.path, "token that ends a text, which completions need")
  }
}
