import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// `rilq eval`: measures perplexity and the accuracy of answers and, with a reference, the distance to it.
struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure the perplexity of a text or the accuracy of answers; with a reference also the distance to it."
  )

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Option(help: "The text, UTF-8.")
  var text: String?

  @Option(help: "A file of multiple-choice questions, one JSON object per line (repeatable).")
  var tasks: [String] = []

  @Option(help: "The original checkpoint to compare with.")
  var reference: String?

  @Option(help: "The number of tokens per window.")
  var window = 512

  @Option(help: "Use only the first tokens of the text.")
  var maxTokens: Int?

  @Option(help: "Use only the first questions of each task.")
  var maxQuestions: Int?

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if text == nil, tasks.isEmpty { throw ValidationError("expected --text, --tasks or both") }
    if window < 2 { throw ValidationError("--window must be at least 2") }
    if let maxTokens, maxTokens < window { throw ValidationError("--max-tokens must be at least --window") }
    if maxTokens != nil, text == nil { throw ValidationError("--max-tokens goes with --text") }
    if let maxQuestions, maxQuestions < 1 { throw ValidationError("--max-questions must be at least 1") }
    if maxQuestions != nil, tasks.isEmpty { throw ValidationError("--max-questions goes with --tasks") }
  }

  func run() throws {
    let progress = global.start()
    let tasks = try MultipleChoiceTask.tasks(contentsOf: tasks, maxQuestions: maxQuestions)
    let checkpoint = try Checkpoint.open(path: path, access: global.access)
    let tokenizer = try Tokenizer(of: checkpoint)
    let windows = try text.map {
      try EvaluationWindows(path: $0, window: window, maxTokens: maxTokens, tokenizer: tokenizer).windows
    }
    let questions = tasks.isEmpty ? nil : try ChoiceTasks(tasks, for: checkpoint, tokenizer)
    let model = try Transformer(checkpoint)
    let tokenizerPath = Tokenizer.path(in: checkpoint)
    try model.requireTokens((windows ?? []) + (questions?.windows ?? []), from: tokenizerPath)
    let original = try reference.map { try Checkpoint.open(path: $0, access: global.access) }
    let notices = original.map { global.tellNotices(of: checkpoint, $0) } ?? global.tellNotices(of: checkpoint)
    let originalModel = try original.map { try Transformer($0) }
    var document = JSONValue.object([])
    var lines: [String] = []
    if let windows {
      let measured = try model.measure(windows, against: originalModel) { progress.show($0) }
      document = measured
      lines += Self.lines(measured)
    }
    if let questions {
      try originalModel?.requireSameVocabulary(as: model)
      let scores = try TaskScores(of: questions, model, against: originalModel) { progress.show($0) }
      for member in scores.json.object ?? [] { document.set(member.key, to: member.value) }
      lines += scores.table
    }
    progress.finish()
    let memory = JSONValue.Member("peak_memory_bytes", .integer(ProcessMemory.peakByteCount))
    document.set(memory.key, to: memory.value)
    lines += Self.lines(.object([memory]))
    document.set(notices: notices)
    global.show(document, text: lines.joined(separator: "\n"))
  }

  private static func lines(_ document: JSONValue) -> [String] {
    (document.object ?? []).map { member in
      let value = member.value.integer == nil ? member.value.double.map { String(format: "%.6g", $0) } : nil
      return "\(member.key.replacing("_", with: " ")): \(value ?? member.value.compactText)"
    }
  }
}

extension Transformer {
  /// Measures the perplexity of windows and, with a reference, the distance to it.
  ///
  /// - Returns: The keys of the JSON document that other programs rely on.
  fileprivate func measure(
    _ windows: [[Int32]], against reference: Transformer?, progress: ProgressHandler
  ) throws -> JSONValue {
    let begin = ContinuousClock.now
    var document: JSONValue
    if let reference {
      let comparison = try reference.compare(with: self, on: windows, progress: progress)
      document = comparison.candidate.json
      document.set("mean_kl", to: .double(comparison.meanKL))
      document.set("top1_agreement", to: .double(comparison.top1Agreement))
      document.set("reference_perplexity", to: .double(comparison.reference.perplexity))
    } else {
      document = try evaluate(windows, progress: progress).json
    }
    let tokens = windows.reduce(0) { $0 + $1.count }
    document.set("tokens_per_second", to: .double(Double(tokens) / begin.secondsSince))
    return document
  }
}

extension Evaluation {
  /// The JSON document that other programs rely on.
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("perplexity", .double(perplexity)),
      JSONValue.Member("nll_per_token", .double(nllPerToken)),
      JSONValue.Member("tokens_scored", .integer(tokensScored)),
      JSONValue.Member("windows", .integer(windows)),
      JSONValue.Member("window", .integer(window)),
    ])
  }
}
