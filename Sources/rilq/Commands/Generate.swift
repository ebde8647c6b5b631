import ArgumentParser
import Checkpoints
import Kernels
import Models
import Passes

/// `rilq generate`: generates text with a model.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a prompt, or write texts to a file of JSON lines.")

  /// The default number of tokens for a prompt.
  private static let promptTokens = 128
  /// The default number of tokens per text in a file.
  private static let sampleTokens = 512

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Option(help: "The text to continue.")
  var prompt: String?

  @Option(help: "The maximum number of tokens to write (default: 128; 512 with --samples).")
  var maxTokens: Int?

  @Option(help: "The sampling temperature; 0 takes the most probable token (default: 0; 1 with --samples).")
  var temperature: Double?

  @Option(help: "Choose among this number of most probable tokens only.")
  var topK: Int?

  @Option(help: "Choose only among the most probable tokens that together have this probability.")
  var topP: Double?

  @Option(help: "The seed of the random choices.")
  var seed: UInt64 = 1

  @Option(
    help: """
      How the weights of a packed model are multiplied: int8 rounds a token's activations, and the output head \
      to 8 bits; f32 rounds nothing (default: int8; always f32 with --samples).
      """,
    transform: GenerationProducts.named)
  var products: GenerationProducts?

  @Option(help: "Write this number of texts to --output.")
  var samples: Int?

  @Option(help: "The file to write, with one line {\"text\": …} per text.")
  var output: String?

  @Flag(help: "Replace an existing output.")
  var force = false

  // Hidden, because it only says what to do instead.
  @Flag(help: .hidden)
  var chat = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if chat {
      throw ValidationError(
        "--chat is not supported: chat templates are programs in Jinja, which rilq does not run; render the "
          + "template with another tool and pass the text with --prompt")
    }
    guard (prompt == nil) != (samples == nil) else {
      throw ValidationError("expected either --prompt or --samples with --output")
    }
    guard (samples == nil) == (output == nil) else {
      throw ValidationError("--samples and --output go together")
    }
    if force, output == nil { throw ValidationError("--force goes with --output") }
    if products != nil, samples != nil { throw ValidationError("--products goes with --prompt") }
    if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1") }
    if let samples, samples < 1 { throw ValidationError("--samples must be at least 1") }
    if let temperature, temperature != 0, !SamplingOptions.temperatures.contains(temperature) {
      throw ValidationError("--temperature must be 0 or from 0.01 to 100")
    }
    if let topK, topK < 1 { throw ValidationError("--top-k must be at least 1") }
    if let topP, !(topP > 0 && topP <= 1) {
      throw ValidationError("--top-p must be above 0 and at most 1")
    }
    if sampling.temperature == 0, topK != nil || topP != nil {
      throw ValidationError("--top-k and --top-p need a --temperature above 0")
    }
  }

  private var sampling: SamplingOptions {
    SamplingOptions(
      temperature: temperature ?? (samples == nil ? 0 : 1), topK: topK, topP: topP ?? 1, seed: seed)
  }

  func run() throws {
    let progress = global.start()
    let checkpoint = try Checkpoint.open(path: path, access: global.access)
    let products = products ?? .int8
    var writer = try Writer(checkpoint, keepingSteps: samples == nil && products == .int8)
    let notices = global.tellNotices(of: checkpoint)
    if let samples, let output {
      try write(samples, to: output, writer, progress, notices)
    } else {
      writer.model.round(for: products)
      try answer(prompt ?? "", writer, notices)
    }
  }
}

extension Generate {
  /// Continues the prompt and prints the text as it is generated.
  private func answer(_ prompt: String, _ writer: Writer, _ notices: [String]) throws {
    let tokens = try writer.tokens(of: prompt)
    let room = writer.model.configuration.longestSequence - tokens.count
    guard room >= maxTokens ?? 1 else {
      throw PassError.usage(
        "the prompt has \(tokens.count) tokens, which leave \(max(room, 0)) of the model's context of "
          + "\(writer.model.configuration.longestSequence)")
    }
    var stream = TextStream(writer.tokenizer, after: tokens)
    var text = ""
    let start = ContinuousClock.now
    var (begin, promptSeconds) = (start, 0.0)
    func show(_ part: String) {
      text += part
      if !global.json { Terminal.show(part) }
    }
    let generation = try writer.model.generate(
      from: tokens, maxTokens: maxTokens ?? min(Self.promptTokens, room), sampling: sampling,
      endTokens: writer.boundaries.endTokens, products: products ?? .int8,
      began: { (begin, promptSeconds) = (.now, start.secondsSince) }, wrote: { show(stream.append($0)) })
    show(stream.finish())
    // The prompt already gave the logits of the first token.
    let speed = Double(max(generation.tokens.count - 1, 0)) / max(begin.secondsSince, .leastNormalMagnitude)
    guard global.json else {
      Terminal.show("\n")
      if !global.quiet {
        Terminal.write(
          "\(generation.tokens.count) tokens, \(speed.formatted(decimals: 1)) per second, "
            + "\(generation.finishReason == .stop ? "the text has ended" : "cut at its length")\n")
      }
      return
    }
    var document = JSONValue.object([
      .init("text", .string(text)),
      .init("tokens", .array(generation.tokens.map { .integer(Int($0)) })),
      .init("prompt_tokens", .array(tokens.map { .integer(Int($0)) })),
      .init("finish_reason", .string(generation.finishReason.rawValue)),
      .init("tokens_per_second", .double(speed)),
      .init(
        "prompt_tokens_per_second", .double(Double(tokens.count) / max(promptSeconds, .leastNormalMagnitude))),
      .init("peak_memory_bytes", .integer(ProcessMemory.peakByteCount)),
    ])
    document.set(notices: notices)
    print(document.prettyText)
  }

  /// Writes texts to a file, which appears when all texts are written.
  private func write(
    _ count: Int, to output: String, _ writer: Writer, _ progress: ProgressDisplay, _ notices: [String]
  ) throws {
    let context = writer.model.configuration.longestSequence
    let length = 1 + (maxTokens ?? max(1, min(Self.sampleTokens, context - 1)))
    guard length <= context else {
      throw PassError.usage(
        "--max-tokens \(length - 1): with the token for the beginning it is more than the context of \(context)"
      )
    }
    guard let beginToken = writer.boundaries.beginToken else {
      throw ModelError.noToken(path: path, "token that begins a text")
    }
    let workspace = try OutputWorkspace(target: output, force: force, inputs: [path])
    defer { workspace.discard() }
    let begin = ContinuousClock.now
    let samples = try writer.model.samples(
      count,
      SampleShape(
        beginToken: beginToken, endTokens: writer.boundaries.endTokens, length: length, ending: .stops),
      sampling: sampling
    ) { progress.show($0) }
    let seconds = begin.secondsSince
    progress.finish()
    try writer.write(samples, to: workspace)
    let tokens = samples.reduce(0) { $0 + $1.count - 1 }
    var document = JSONValue.object([
      .init("output", .string(output)), .init("samples", .integer(count)), .init("tokens", .integer(tokens)),
      .init("tokens_per_second", .double(Double(tokens) / seconds)),
      .init("peak_memory_bytes", .integer(ProcessMemory.peakByteCount)),
    ])
    document.set(notices: notices)
    global.show(
      document,
      text: "\(output.escapedForDisplay): \(count) texts, \(tokens) tokens, "
        + "\((Double(tokens) / seconds).formatted(decimals: 1)) per second")
  }
}

/// A model with its tokenizer.
private struct Writer {
  private static let stagedName = "texts"
  var model: Transformer
  let tokenizer: Tokenizer
  let boundaries: TextBoundaries
  private let tokenizerPath: String

  init(_ checkpoint: Checkpoint, keepingSteps: Bool) throws {
    model = try Transformer(checkpoint, keepingSteps: keepingSteps)
    tokenizer = try Tokenizer(of: checkpoint)
    boundaries = try TextBoundaries(of: checkpoint)
    tokenizerPath = Tokenizer.path(in: checkpoint)
  }

  /// Returns the tokens of a prompt after the tokenizer's prefix; for an empty prompt, the begin token.
  ///
  /// A prompt that begins with the prefix, like a rendered chat template, does not get it twice.
  func tokens(of prompt: String) throws -> [Int32] {
    var tokens = tokenizer.encode(prompt)
    if !tokens.starts(with: tokenizer.prefixTokens) { tokens = tokenizer.prefixTokens + tokens }
    if tokens.isEmpty {
      guard let beginToken = boundaries.beginToken else {
        throw PassError.usage("--prompt is empty, and the model has no token that begins a text")
      }
      tokens = [beginToken]
    }
    try model.requireTokens([tokens], from: tokenizerPath)
    return tokens
  }

  /// Writes one line per text.
  func write(_ samples: [[Int32]], to workspace: OutputWorkspace) throws {
    var file = try OutputFile(creating: workspace.path(Self.stagedName))
    for sample in samples {
      let text = tokenizer.decode(sample.filter { !tokenizer.isSpecial($0) })
      let line = JSONValue.object([.init("text", .string(text))]).compactText
      try file.append(Array((line + "\n").utf8))
    }
    try file.sync()
    try workspace.publish(Self.stagedName)
  }
}
