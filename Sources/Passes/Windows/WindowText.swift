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
      let tokens = try lines.flatMap { try vocabulary.tokenizer.encode($0.text("text")) + vocabulary.end }
      self.init(path, tokens, length)
      return
    }
    self.init(path, try lines.map { try FineTuningExample($0, length: length, vocabulary) })
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
  let boundaries: TextBoundaries
  /// The checkpoint, for errors.
  let path: String

  /// The token behind a text, if there is one.
  var end: [Int32] { Array(boundaries.endTokens.prefix(1)) }

  init(of checkpoint: Checkpoint) throws {
    tokenizer = try Tokenizer(of: checkpoint)
    boundaries = try TextBoundaries(of: checkpoint)
    path = checkpoint.path
  }
}
