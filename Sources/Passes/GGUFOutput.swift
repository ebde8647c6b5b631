import Checkpoints
import Models

/// The output of a pipeline as a GGUF file.
struct GGUFOutput {
  /// The checkpoint files whose contents a GGUF file holds in its metadata.
  private static let translatedAssets: Set<String> = [
    "config.json", "tokenizer.json", "tokenizer_config.json", GGUFKeptTokenizer.fileName,
  ]
  /// The files that it holds in place of `tokenizer.json`.
  private static let translatedModelAssets: Set<String> = [SentencePieceFile.fileName, "added_tokens.json"]

  /// The checkpoint to write, with the tensor names that a reader of the file gives.
  let checkpoint: Checkpoint
  private let plan: GGUFExportPlan
  /// The name that a reader of the file gives to a module.
  private let usualName: (String) -> String

  /// Finds a place for every tensor and setting, from headers, configuration and tokenizer.
  ///
  /// - Parameters:
  ///   - checkpoint: The last checkpoint of the pipeline, or its description.
  ///   - path: The path for errors.
  /// - Throws: `FormatError`; its problem is `.notExact` for a supported feature that a GGUF file cannot
  ///   hold.
  init(_ checkpoint: Checkpoint, path: String) throws {
    let (checkpoint, layout) = try Self.representable {
      (try Self.withNames(ofGGUF: checkpoint), try ModelLayout(of: checkpoint))
    }
    usualName = layout.usualName
    self.checkpoint = checkpoint
    plan = try Self.representable {
      let json = try Self.json(ModelConfiguration.fileName, of: checkpoint)
      let model = try GGUFExportModel(of: checkpoint, name: Self.name(in: json))
      let tokenizer = try Self.tokenizer(
        of: checkpoint, json, model, path: path)
      return try GGUFExportPlan(checkpoint.contents, model, tokenizer, path: path)
    }
  }

  /// The checkpoint with the names that a reader of the file gives, with a tensor for each expert, and with a
  /// head where a file needs one.
  private static func withNames(ofGGUF checkpoint: Checkpoint) throws -> Checkpoint {
    let checkpoint = try checkpoint.withUsualNames().separatingExperts()
    let layout = try ModelLayout(of: checkpoint)
    guard layout.configuration.family.gguf.requiresHead, layout.configuration.tiesEmbeddings,
      checkpoint.tensor(named: layout.head.name) == nil
    else { return checkpoint }
    return checkpoint.repeating(layout.embedding.module, as: layout.head.module)
  }

  private static func tokenizer(
    of checkpoint: Checkpoint, _ configuration: JSONValue, _ model: GGUFExportModel, path: String
  ) throws -> GGUFExportTokenizer {
    let vocabularySize = model.layout.configuration.vocabularySize
    if let pieces = try SentencePieceFile(of: checkpoint) {
      return try GGUFExportTokenizer(
        pieces, pieces.settings(of: checkpoint), templates: chatTemplates(of: checkpoint),
        vocabularySize: vocabularySize)
    }
    if let kept = try GGUFKeptTokenizer(of: checkpoint) {
      return try kept.export(vocabularySize: vocabularySize)
    }
    // Reading the whole tokenizer checks that the parts taken over belong together.
    let tokenizer = try Tokenizer(of: checkpoint)
    return try GGUFExportTokenizer(
      tokenizer: json("tokenizer.json", of: checkpoint),
      settings: json("tokenizer_config.json", of: checkpoint), configuration: configuration,
      templates: chatTemplates(of: checkpoint), vocabularySize: vocabularySize, modelName: model.name,
      mergesMakeTokens: { tokenizer.mergesMakeTokens }, path: path)
  }

  /// The tensors that the file does not need.
  var redundantTensors: Set<String> { Set(plan.redundantTensors + plan.foreignTensors) }

  /// Rejects tensors that cannot be represented, as far as this is known without their values.
  ///
  /// - Parameters:
  ///   - options: The requested types.
  ///   - modules: The modules that this run packs.
  /// - Throws: `FormatError.notExact` with the tensor.
  func requireRepresentable(_ options: GGUFExportOptions, packing modules: Set<String>) throws {
    try plan.requireRepresentable(options, packing: Set(modules.map(usualName)))
  }

  /// Chooses the tensors' types and writes the file.
  func write(
    to path: String, _ options: GGUFExportOptions
  ) throws -> (byteCount: Int, report: OutputReport, roundedTensors: Set<String>) {
    let export = try GGUFExport(plan, checkpoint, options)
    let writer = try GGUFWriter(export, path: path)
    try PlanWriter.copy(export.contents, from: checkpoint, into: writer)
    return (try writer.finish(), report(of: export), export.roundedTensors)
  }

  private func report(of export: GGUFExport) -> OutputReport {
    var report = OutputReport()
    report.types = export.typeCounts.map { ($0.type, $0.count) }
    let names = checkpoint.contents.assets.map(\.name)
    let translated =
      names.contains("tokenizer.json")
      ? Self.translatedAssets : Self.translatedAssets.union(Self.translatedModelAssets)
    report.leftOut =
      names.filter { !translated.contains($0) && !ChatTemplates.isFile($0) } + plan.redundantTensors
    report.losses = export.losses.map {
      OutputReport.Loss(tensor: $0.tensor, type: $0.type, maximum: $0.maximum, mean: $0.mean)
    }
    report.bitsPerWeight = export.bitsPerWeight
    report.notices = plan.notices
    return report
  }

  private static func name(in configuration: JSONValue) -> String {
    let path = configuration["_name_or_path"]?.string?.split(separator: "/").last.map(String.init)
    return path ?? configuration["architectures"]?.array?.first?.string ?? "llama"
  }

  private static func json(_ name: String, of checkpoint: Checkpoint) throws -> JSONValue {
    try checkpoint.json(named: name) ?? .object([])
  }

  private static func chatTemplates(of checkpoint: Checkpoint) throws -> ChatTemplates {
    let names = checkpoint.contents.assets.map(\.name).filter(ChatTemplates.isFile)
    let files = try names.map { (name: $0, text: try Self.text($0, of: checkpoint) ?? "") }
    let settings = "tokenizer_config.json"
    return try ChatTemplates(
      files: files, settings: json(settings, of: checkpoint), path: checkpoint.path + "/" + settings)
  }

  private static func text(_ name: String, of checkpoint: Checkpoint) throws -> String? {
    guard let bytes = try checkpoint.asset(named: name) else { return nil }
    guard let text = bytes.withSpan({ $0.string(in: 0..<$0.byteCount) }) else {
      throw FormatError(checkpoint.path + "/" + name, .malformed("is not UTF-8"))
    }
    return text
  }

  /// Reports a feature that this program does not support as one that the file cannot hold.
  private static func representable<T>(_ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as FormatError {
      switch error.problem {
      case .unsupported, .unsupportedKind:
        throw FormatError(
          error.path, byte: error.byteOffset, at: error.place, .notExact(error.problem.description))
      default: throw error
      }
    }
  }
}
