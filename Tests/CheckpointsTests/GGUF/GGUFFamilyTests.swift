import Checkpoints
import Kernels
import TestSupport
import Testing

/// Every family against what llama.cpp's converter writes; see `Fixtures/README.md`.
struct GGUFFamilyTests {
  private static let document = try? JSONValue(contentsOf: Fixtures.path("gguf/families.json"))
  static let names = (document?.object ?? []).map(\.key)

  private func golden(_ name: String) throws -> JSONValue { try #require(Self.document?[name]) }

  /// The model of a configuration, with what llama.cpp fixes set to its values, and factors as F32 holds them.
  private func layout(_ name: String) throws -> ModelLayout {
    var json = try #require(golden(name)["config"])
    if json["query_pre_attn_scalar"] != nil, let size = json["head_dim"] {
      json.set("query_pre_attn_scalar", to: size)
    }
    if let scaling = json["rope_scaling"]?.object {
      let members = scaling.filter { $0.key != "attention_factor" }.map { member in
        let factors = member.value.array?.compactMap {
          $0.double.map { JSONValue.number(Float($0).description) }
        }
        return JSONValue.Member(member.key, factors.map(JSONValue.array) ?? member.value)
      }
      json.set("rope_scaling", to: .object(members))
    }
    return ModelLayout(try ModelConfiguration(json, path: "config.json"))
  }

  private func model(_ layout: ModelLayout) throws -> GGUFExportModel {
    let ties = layout.configuration.tiesEmbeddings && !layout.configuration.family.gguf.requiresHead
    return GGUFExportModel(name: "sample", layout, head: ties ? .embedding : .own)
  }

  /// A checkpoint of the configuration with random weights; its matrices and vectors are BF16.
  private func checkpoint(_ layout: ModelLayout) throws -> SampleCheckpoint {
    var tensors: [TensorInfo] = []
    for tensor in Array(layout.bodyTensors) + (try model(layout).head == .own ? [layout.head] : []) {
      tensors.append(TensorInfo(name: tensor.name, dtype: .bf16, shape: tensor.shape))
      guard tensor.slot.hasBias else { continue }
      tensors.append(TensorInfo(name: tensor.biasName, dtype: .bf16, shape: [tensor.shape[0]]))
    }
    var sample = SampleCheckpoint(tensors)
    var random = SplitMix64(seed: 3)
    for tensor in tensors {
      sample.values[tensor.name] = narrowed(
        (0..<tensor.elementCount).map { _ in Float(Int.random(in: -255...255, using: &random)) / 256 },
        to: .bf16)
    }
    return sample
  }

  private func write(
    _ sample: SampleCheckpoint, _ layout: ModelLayout, in folder: TemporaryFolder
  ) throws -> Checkpoint {
    let path = folder.path("model")
    try sample.write(to: path)
    let opened = try Checkpoint.open(path: path)
    let plan = try GGUFExportPlan(
      opened.contents, model(layout),
      GGUFSample.vocabulary(count: layout.configuration.vocabularySize), path: "out.gguf")
    let export = try GGUFExport(plan, opened, GGUFExportOptions())
    let writer = try GGUFWriter(export, path: folder.path("out.gguf"))
    for tensor in export.contents.tensors {
      try opened.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: folder.path("out.gguf"))
  }

  @Test(arguments: names) func `writes the keys of llama.cpp's converter`(name: String) throws {
    let golden = try golden(name)
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    _ = try write(checkpoint(layout), layout, in: folder)
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    #expect(header.metadata["general.architecture"]?.string == golden["architecture"]?.string)
    for member in golden["keys"]?.object ?? [] where member.value.array?.last?.string != "none" {
      let found = header.metadata[member.key]
      let expected = member.value.array?.last
      switch expected {
      case .bool(let bool): #expect(found == .bool(bool), "\(member.key)")
      case .string(let text): #expect(found == .string(text), "\(member.key)")
      case .array(let items):
        #expect(found?.array?.map(\.integer) == items.map(\.integer), "\(member.key)")
        #expect(found?.array?.map(\.isTrue) == items.map(\.bool), "\(member.key)")
      default:
        // The converter also states what llama.cpp derives: the amplitude of yarn, and an original context
        // that is the context.
        guard !member.key.hasSuffix("yarn_attn_factor"), found != nil || expected?.integer != 1024 else {
          continue
        }
        let number = found?.double ?? found?.integer.map(Double.init)
        #expect(number.map { Float($0) } == expected?.double.map { Float($0) }, "\(member.key)")
      }
    }
  }

  @Test(arguments: names) func `writes the tensors of llama.cpp's converter`(name: String) throws {
    let golden = try golden(name)
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    _ = try write(checkpoint(layout), layout, in: folder)
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    let expected = golden["tensors"]?.object ?? []
    #expect(!expected.isEmpty)
    for member in expected {
      let entry = header.entries.first { $0.name == member.key }
      #expect(entry?.form == member.value, "\(member.key)")
    }
    // The golden file has a tensor of a later layer only where it differs from those of the layers before.
    for entry in header.entries {
      let isKnown = expected.contains {
        $0.key.withoutLayer == entry.name.withoutLayer && $0.value == entry.form
      }
      #expect(isKnown, "\(entry.name)")
    }
  }

  @Test(arguments: names) func `comes back as the same model with the same tensors`(name: String) throws {
    let folder = try TemporaryFolder()
    let layout = try layout(name)
    let sample = try checkpoint(layout)
    let found = try write(sample, layout, in: folder)
    for tensor in sample.contents.tensors {
      #expect(found.tensor(named: tensor.name) == tensor)
      #expect(try found.copiedBytes(of: tensor.name) == sample.values[tensor.name], "\(tensor.name)")
    }
    #expect(found.contents.tensors.count == sample.contents.tensors.count)
    let read = try ModelConfiguration(of: found)
    #expect(read.family.ggufArchitecture == layout.configuration.family.ggufArchitecture)
    // llama.cpp has no windows in these architectures, so the file states none.
    let losesWindows =
      layout.configuration.hasWindows && read.family.gguf.windows == .ignored
      && !read.family.gguf.statesIgnoredWindow
    #expect((read.description == layout.configuration.description) == !losesWindows)
    #expect(read.contextLength == layout.configuration.contextLength)
  }

  @Test func `norms of 1 + w that F32 cannot hold come back in F32, equal up to rounding`() throws {
    let folder = try TemporaryFolder()
    let layout = try layout("gemma")
    var sample = try checkpoint(layout)
    let name = layout.finalNorm.name
    let values = [Float](repeating: 1 / 1_234_567, count: layout.finalNorm.shape[0])
    sample.values[name] = narrowed(values, to: .bf16)
    let found = try write(sample, layout, in: folder)
    #expect(found.tensor(named: name)?.dtype == .f32)
    let (first, second) = (
      try #require(Fixtures.floats(name, in: found).first),
      widened(narrowed(values, to: .bf16), from: .bf16)[0]
    )
    #expect(first != second && first + 1 == second + 1)
  }

  @Test func `of a larger model the text part is written, and the other tensors are told`() throws {
    let folder = try TemporaryFolder()
    let json = JSONValue.object([
      JSONValue.Member("model_type", .string("mistral3")),
      JSONValue.Member("text_config", try #require(golden("ministral3")["config"])),
    ])
    let layout = ModelLayout(try ModelConfiguration(json, path: "config.json")) {
      $0.hasPrefix("language_model.")
    }
    var sample = try checkpoint(layout)
    let norm = TensorInfo(name: "vision_tower.norm.weight", dtype: .bf16, shape: [2])
    sample.contents.tensors.append(norm)
    sample.values[norm.name] = [0, 0, 0, 0]
    sample.setAsset("config.json", json.compactText)
    try sample.write(to: folder.path("model"))
    let opened = try Checkpoint.open(path: folder.path("model")).withUsualNames()
    #expect(opened.tensor(named: "model.layers.1.self_attn.q_proj.weight") != nil)
    let plan = try GGUFExportPlan(
      opened.contents, model(ModelLayout(of: opened)), GGUFSample.vocabulary(count: 1024), path: "out.gguf")
    #expect(plan.foreignTensors == [norm.name])
    #expect(plan.notices.count == 1 && plan.notices[0].contains("1 from 'vision_tower.norm.weight'"))
  }

  @Test func `a tied head is written where llama.cpp needs one`() throws {
    let folder = try TemporaryFolder()
    var json = try #require(golden("olmo2")["config"])
    json.set("tie_word_embeddings", to: .bool(true))
    let tied = ModelLayout(try ModelConfiguration(json, path: "config.json"))
    var sample = SampleCheckpoint(
      Array(tied.bodyTensors).map { TensorInfo(name: $0.name, dtype: .bf16, shape: $0.shape) })
    sample.setAsset("config.json", json.compactText)
    try sample.write(to: folder.path("model"))
    let opened = try Checkpoint.open(path: folder.path("model"))
      .repeating(tied.embedding.module, as: tied.head.module)
    let model = try GGUFExportModel(of: opened, name: "x")
    #expect(model.head == .own && model.redundantTensors.isEmpty)
    let (head, embedding) = (tied.head.name, tied.embedding.name)
    #expect(try opened.copiedBytes(of: head) == opened.copiedBytes(of: embedding))
  }
}

extension ModelConfiguration {
  /// Whether a layer sees a window instead of the whole context.
  fileprivate var hasWindows: Bool {
    description.layers.flatMap(\.parts).flatMap(\.operations).contains {
      if case .attention(let attention) = $0 { attention.window != nil } else { false }
    }
  }
}

extension GGUFHeader.Entry {
  /// Shape and type as the golden file has them.
  fileprivate var form: JSONValue { .array([.array(shape.map { .integer($0) }), .string(type.name)]) }
}

extension GGUFValue {
  /// The truth value, or nil for anything else.
  fileprivate var isTrue: Bool? { if case .bool(let value) = self { value } else { nil } }
}

extension String {
  /// The name of a tensor without the number of its layer.
  fileprivate var withoutLayer: String {
    split(separator: ".").filter { Int($0) == nil }.joined(separator: ".")
  }
}
