import Checkpoints
import Models

/// The output of a pipeline as a GGUF file.
struct GGUFOutput {
  /// The files of a checkpoint whose contents a GGUF file has in its metadata.
  private static let translatedAssets: Set<String> = [
    "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
  ]

  private let checkpoint: Checkpoint
  private let plan: GGUFExportPlan

  /// What was written.
  struct Written {
    let byteCount: Int
    let bitsPerWeight: Double
    /// What was written, by the names that a reader of the file gives its tensors.
    let source: Checkpoint
    /// The tensors that the file has no need of.
    let redundantTensors: Set<String>
    /// For the report: `types`, `left_out`, and `lossy` when something was rounded.
    let details: [JSONValue.Member]
  }

  /// Finds a place for everything, from headers, configuration and tokenizer.
  ///
  /// - Parameters:
  ///   - checkpoint: The last checkpoint of the pipeline, or its description.
  ///   - path: The path for errors.
  /// - Throws: `FormatError`; what is understood but has no place in a GGUF file is `.notExact`.
  init(_ checkpoint: Checkpoint, path: String) throws {
    let checkpoint = try Self.representable { try checkpoint.withUsualNames() }
    self.checkpoint = checkpoint
    plan = try Self.representable {
      let json = try Self.json(ModelConfiguration.fileName, of: checkpoint)
      let model = try GGUFExportModel(of: checkpoint, name: Self.name(in: json))
      // Reads the whole tokenizer, so that the parts that are taken over belong together.
      _ = try Tokenizer(of: checkpoint)
      let tokenizer = try GGUFExportTokenizer(
        tokenizer: Self.json("tokenizer.json", of: checkpoint),
        settings: Self.json("tokenizer_config.json", of: checkpoint), configuration: json,
        chatTemplate: Self.text("chat_template.jinja", of: checkpoint),
        vocabularySize: model.layout.configuration.vocabularySize, path: path)
      return try GGUFExportPlan(checkpoint.contents, model, tokenizer, path: path)
    }
  }

  /// Refuses what needs no values to be known as impossible.
  ///
  /// - Parameters:
  ///   - options: The types that are asked for.
  ///   - modules: The modules that are packed on the way.
  /// - Throws: `FormatError.notExact` with the tensor.
  func requireRepresentable(_ options: GGUFExportOptions, packing modules: Set<String>) throws {
    try plan.requireRepresentable(options, packing: modules)
  }

  /// Chooses the types of the tensors and writes the file.
  func write(to path: String, _ options: GGUFExportOptions) throws -> Written {
    let export = try GGUFExport(plan, checkpoint, options)
    let writer = try GGUFWriter(export, path: path)
    try writeTensors(of: export.contents, from: checkpoint, into: writer) { _ in nil }
    let byteCount = try writer.finish()
    return Written(
      byteCount: byteCount, bitsPerWeight: export.bitsPerWeight, source: checkpoint,
      redundantTensors: Set(plan.redundantTensors), details: details(of: export))
  }

  private func details(of export: GGUFExport) -> [JSONValue.Member] {
    let types = export.typeCounts.map { JSONValue.Member($0.type, .integer($0.count)) }
    let leftOut =
      checkpoint.contents.assets.map(\.name).filter { !Self.translatedAssets.contains($0) }
      + plan.redundantTensors
    var members = [
      JSONValue.Member("types", .object(types)),
      JSONValue.Member("left_out", .array(leftOut.map { .string($0) })),
    ]
    if !export.losses.isEmpty { members.append(JSONValue.Member("lossy", .array(export.losses.map(\.json)))) }
    return members
  }

  private static func name(in configuration: JSONValue) -> String {
    let path = configuration["_name_or_path"]?.string?.split(separator: "/").last.map(String.init)
    return path ?? configuration["architectures"]?.array?.first?.string ?? "llama"
  }

  private static func json(_ name: String, of checkpoint: Checkpoint) throws -> JSONValue {
    guard let bytes = try checkpoint.asset(named: name) else { return .object([]) }
    do throws(JSONError) {
      return try bytes.withSpan { span throws(JSONError) in try JSONValue(parsing: span) }
    } catch {
      throw FormatError(checkpoint.path + "/" + name, byte: error.byteOffset, .malformed(error.reason))
    }
  }

  private static func text(_ name: String, of checkpoint: Checkpoint) throws -> String? {
    guard let bytes = try checkpoint.asset(named: name) else { return nil }
    guard let text = bytes.withSpan({ $0.string(in: 0..<$0.byteCount) }) else {
      throw FormatError(checkpoint.path + "/" + name, .malformed("is not UTF-8"))
    }
    return text
  }

  /// What we do not compute with has no place in the file either.
  private static func representable<T>(_ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as FormatError {
      guard case .unsupported(let reason) = error.problem else { throw error }
      throw FormatError(error.path, byte: error.byteOffset, at: error.place, .notExact(reason))
    }
  }
}

extension GGUFExport.Loss {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("name", .string(tensor)), JSONValue.Member("type", .string(type)),
      JSONValue.Member("max_error", .double(maximum)), JSONValue.Member("mean_error", .double(mean)),
    ])
  }
}
