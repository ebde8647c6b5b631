import Checkpoints
import Foundation
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
    self.checkpoint = checkpoint
    plan = try Self.representable {
      let configuration = try LlamaConfiguration(of: checkpoint)
      // Reads the whole tokenizer, so that the parts that are taken over belong together.
      _ = try Tokenizer(of: checkpoint)
      let json = try Self.json("config.json", of: checkpoint)
      let tokenizer = try GGUFExportTokenizer(
        tokenizer: Self.json("tokenizer.json", of: checkpoint),
        settings: Self.json("tokenizer_config.json", of: checkpoint), configuration: json,
        chatTemplate: Self.text("chat_template.jinja", of: checkpoint),
        vocabularySize: configuration.vocabularySize, path: path)
      return try GGUFExportPlan(
        checkpoint.contents, GGUFExportModel(configuration, name: Self.name(in: json)), tokenizer, path: path)
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
      byteCount: byteCount, bitsPerWeight: export.bitsPerWeight, details: details(of: export))
  }

  private func details(of export: GGUFExport) -> [JSONValue.Member] {
    let types = export.typeCounts.map { JSONValue.Member($0.type, .integer($0.count)) }
    let leftOut = checkpoint.contents.assets.map(\.name).filter { !Self.translatedAssets.contains($0) }
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
    try checkpoint.json(named: name) ?? .object([])
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

extension GGUFExportModel {
  /// The hyperparameters of a configuration.
  init(_ configuration: LlamaConfiguration, name: String) {
    self.init(
      name: name, contextLength: configuration.contextLength, embeddingLength: configuration.hiddenSize,
      blockCount: configuration.layerCount, feedForwardLength: configuration.intermediateSize,
      headCount: configuration.headCount, keyValueHeadCount: configuration.keyValueHeadCount,
      headSize: configuration.headSize, vocabularySize: configuration.vocabularySize,
      normEpsilon: configuration.normEpsilon, rotaryBase: configuration.rotary.theta,
      rotaryScaling: configuration.rotary.ggufScaling(headSize: configuration.headSize),
      tiesEmbeddings: configuration.tiesEmbeddings)
  }
}

extension RotaryParameters {
  /// How llama.cpp is told about a stretching; the factors of Llama 3.1 as its converter computes them.
  fileprivate func ggufScaling(headSize: Int) -> GGUFExportModel.RotaryScaling? {
    switch scaling {
    case nil: return nil
    case .linear(let factor): return .linear(factor: factor)
    case .llama3(let factor, let low, let high, let context):
      let factors = (0..<headSize / 2).map { j in
        let frequency = 1 / pow(Float(theta), Float(2 * j) / Float(headSize))
        let turns = Double(context) * Double(frequency) / (2 * Double.pi)
        if turns < low { return Float(factor) }
        if turns > high { return 1 }
        let blend = (turns - low) / (high - low)
        return Float(1 / ((1 - blend) / factor + blend))
      }
      return .factors(
        factors, Llama3Stretching(lowFactor: low, highFactor: high, originalContext: context))
    }
  }
}
