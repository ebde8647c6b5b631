import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// `rilq eval`: measures perplexity and, with a reference, the distance to it.
struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure the perplexity of a text; with a reference also mean KL and top-1 agreement.")

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Option(help: "The text, UTF-8.")
  var text: String

  @Option(help: "The original checkpoint to compare with.")
  var reference: String?

  @Option(help: "The number of tokens per window.")
  var window = 512

  @Option(help: "Use only the first tokens of the text.")
  var maxTokens: Int?

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if window < 2 { throw ValidationError("--window must be at least 2") }
    if let maxTokens, maxTokens < window { throw ValidationError("--max-tokens must be at least --window") }
  }

  func run() throws {
    let progress = global.start()
    let checkpoint = try Checkpoint.open(path: path, access: global.access)
    let windows = try EvaluationWindows(
      path: text, window: window, maxTokens: maxTokens, tokenizer: try Tokenizer(of: checkpoint))
    let model = try Transformer(checkpoint)
    let notices: [String]
    try model.requireTokens(windows.windows, from: Tokenizer.path(in: checkpoint))
    let begin = ContinuousClock.now
    var document: JSONValue
    if let reference {
      let original = try Checkpoint.open(path: reference, access: global.access)
      notices = global.tellNotices(of: checkpoint, original)
      let comparison = try Transformer(original)
        .compare(with: model, on: windows.windows) { progress.show($0) }
      document = comparison.candidate.json
      document.set("mean_kl", to: .double(comparison.meanKL))
      document.set("top1_agreement", to: .double(comparison.top1Agreement))
      document.set("reference_perplexity", to: .double(comparison.reference.perplexity))
    } else {
      notices = global.tellNotices(of: checkpoint)
      document = try model.evaluate(windows.windows) { progress.show($0) }.json
    }
    let seconds = begin.secondsSince
    progress.finish()
    let tokens = windows.windows.count * window
    document.set("tokens_per_second", to: .double(Double(tokens) / seconds))
    document.set("peak_memory_bytes", to: .integer(ProcessMemory.peakByteCount))
    let text = Self.text(document)
    document.set(notices: notices)
    global.show(document, text: text)
  }

  private static func text(_ document: JSONValue) -> String {
    (document.object ?? []).map { member in
      let value = member.value.integer == nil ? member.value.double.map { String(format: "%.6g", $0) } : nil
      return "\(member.key.replacing("_", with: " ")): \(value ?? member.value.compactText)"
    }.joined(separator: "\n")
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
