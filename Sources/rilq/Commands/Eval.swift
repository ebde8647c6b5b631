import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// `rilq eval`: measures perplexity and the accuracy of answers and, with a reference, the distance to it.
struct Eval: SharedCommand {
  static let configuration = CommandConfiguration(
    abstract: """
      Measure the perplexity of a text or the accuracy of answers; with a reference also the distance to it.
      """)

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

  @Option(
    help: """
      What the operands of products are rounded to: f32 for nothing, or bf16 where this processor multiplies it \
      faster (default: f32).
      """,
    transform: ProductOperands.named)
  var products: ProductOperands = .f32

  @Option(
    help: """
      What the inputs of linears are rounded to: f32 for nothing, or int8 as llama.cpp rounds them on a CPU; not \
      those of the reference (default: f32).
      """,
    transform: InputRounding.named)
  var inputs: InputRounding = .f32

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if inputs == .int8, products != .f32 { throw ValidationError("--inputs int8 goes with --products f32") }
    if let path = tasks.first(where: { path in tasks.count { $0 == path } > 1 }) {
      throw ValidationError("--tasks names '\(path)' twice")
    }
    if text == nil, tasks.isEmpty { throw ValidationError("expected --text, --tasks or both") }
    if window < 2 { throw ValidationError("--window must be at least 2") }
    if let maxTokens, maxTokens < window { throw ValidationError("--max-tokens must be at least --window") }
    if maxTokens != nil, text == nil { throw ValidationError("--max-tokens goes with --text") }
    if let maxQuestions, maxQuestions < 1 { throw ValidationError("--max-questions must be at least 1") }
    if maxQuestions != nil, tasks.isEmpty { throw ValidationError("--max-questions goes with --tasks") }
  }

  func run() throws {
    let progress = global.start()
    try ProcessJob.requireAgreement(reading: [path] + [text, reference].compactMap(\.self) + self.tasks)
    let tasks = try MultipleChoiceTask.tasks(contentsOf: tasks, maxQuestions: maxQuestions)
    let checkpoint = try Checkpoint.open(path: path, access: global.access)
    let tokenizer = try Tokenizer(of: checkpoint)
    let windows = try text.map {
      try EvaluationWindows(path: $0, window: window, maxTokens: maxTokens, tokenizer: tokenizer).windows
    }
    let questions = tasks.isEmpty ? nil : try ChoiceTasks(tasks, for: checkpoint, tokenizer)
    var model = try Transformer(checkpoint)
    model.operands = products
    model.inputRounding = inputs
    try model.requireTokens(
      (windows ?? []) + (questions?.windows ?? []), from: Tokenizer.path(in: checkpoint))
    let (original, notices) = try openReference(of: checkpoint)
    try original?.requireSameVocabulary(as: model)
    var members: [JSONValue.Member] = []
    var lines: [String] = []
    if let windows {
      members = try model.measure(windows, against: original) { progress.show($0) }
      lines = Self.lines(members)
    }
    if let questions {
      let scores = try TaskScores(
        of: questions, model, against: original, over: ProcessJob.group
      ) { progress.show($0) }
      members += scores.members
      lines += scores.table
    }
    progress.finish()
    if products != .f32 {
      members.append(JSONValue.Member("products", .string(products.onThisProcessor.rawValue)))
      lines += Self.lines(members.suffix(1))
    }
    if inputs != .f32 {
      members.append(JSONValue.Member("inputs", .string(inputs.rawValue)))
      lines += Self.lines(members.suffix(1))
    }
    let memory = JSONValue.Member("peak_memory_bytes", .integer(ProcessMemory.peakByteCount))
    var document = JSONValue.object(members + [memory])
    document.set(notices: notices)
    global.show(document, text: (lines + Self.lines([memory])).joined(separator: "\n"))
  }

  /// Opens the reference if there is one, and tells the remarks about both checkpoints.
  private func openReference(of checkpoint: Checkpoint) throws -> (model: Transformer?, notices: [String]) {
    guard let reference else { return (nil, global.tellNotices(of: checkpoint)) }
    let original = try Checkpoint.open(path: reference, access: global.access)
    let notices = global.tellNotices(of: checkpoint, original)
    var model = try Transformer(original)
    model.operands = products
    return (model, notices)
  }

  private static func lines(_ members: [JSONValue.Member]) -> [String] {
    members.map { member in
      let value = member.value.integer == nil ? member.value.double.map { String(format: "%.6g", $0) } : nil
      return "\(member.key.replacing("_", with: " ")): \(value ?? member.value.compactText)"
    }
  }
}

extension Transformer {
  /// Measures the perplexity of windows and, with a reference, the distance to it.
  ///
  /// - Returns: The members of the JSON document that other programs rely on.
  fileprivate func measure(
    _ windows: [[Int32]], against reference: Transformer?, progress: ProgressHandler
  ) throws -> [JSONValue.Member] {
    let begin = ContinuousClock.now
    let members: [JSONValue.Member]
    if let reference {
      let comparison = try reference.compare(
        with: self, on: windows, over: ProcessJob.group, progress: progress)
      members =
        comparison.candidate.members + [
          JSONValue.Member("mean_kl", .double(comparison.meanKL)),
          JSONValue.Member("top1_agreement", .double(comparison.top1Agreement)),
          JSONValue.Member("reference_perplexity", .double(comparison.reference.perplexity)),
        ]
    } else {
      members = try evaluate(windows, over: ProcessJob.group, progress: progress).members
    }
    let tokens = windows.reduce(0) { $0 + $1.count }
    let speed = Double(tokens) / begin.secondsSince
    return members + [JSONValue.Member("tokens_per_second", .double(speed))]
  }
}

extension Evaluation {
  /// The members of the JSON document that other programs rely on.
  fileprivate var members: [JSONValue.Member] {
    [
      JSONValue.Member("perplexity", .double(perplexity)),
      JSONValue.Member("nll_per_token", .double(nllPerToken)),
      JSONValue.Member("tokens_scored", .integer(tokensScored)),
      JSONValue.Member("windows", .integer(windows)),
      JSONValue.Member("window", .integer(window)),
    ]
  }
}
