import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Merged weights as `merge_and_unload` of PEFT gives them; `Scripts/make-peft-golden.py` made the cases.
@Suite struct PeftMergeTests {
  static let cases = [
    "plain", "rslora", "patterns", "layers", "regex", "all-linear", "dora", "modules-to-save", "embedding",
    "embedding-dora", "bias-all", "bias-lora-only", "lora-bias", "fan-in-fan-out", "fan-in-fan-out-dora",
  ]

  // Singles: at most rank + 1 = 6 additions, each of a partial sum below four times the largest result, round by 2^-24
  // of it. DoRA's norm and quotient add as much again.
  private static let singleTolerance = 0x1p-18

  /// A case's base with its tensors in a dtype.
  private func base(_ name: String, _ dtype: DType, in folder: TemporaryFolder) throws -> Checkpoint {
    let kind = name.hasPrefix("fan-") ? "gpt2" : "llama"
    let source = try Checkpoint.open(path: Fixtures.path("peft/base-\(kind)"))
    var contents = source.contents
    contents.tensors = contents.tensors.map { TensorInfo(name: $0.name, dtype: dtype, shape: $0.shape) }
    let writer = try SafetensorsFolderWriter(contents, folder: folder.path("base"))
    for tensor in contents.tensors {
      let bytes = TensorBytes(try Fixtures.floats(tensor.name, in: source), as: dtype)
      try bytes.withSpan { try writer.write(tensor, $0) }
    }
    for asset in contents.assets {
      try source.asset(named: asset.name)?.withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: folder.path("base"))
  }

  private func merge(_ name: String) -> PassOptions {
    .merge(MergeOptions { $0.adapter = AdapterSource(path: PathOption(Fixtures.path("peft/" + name))) })
  }

  @Test(arguments: cases, [DType.f32, .bf16])
  func `merges as PEFT does`(name: String, dtype: DType) throws {
    let bench = try Workbench()
    let base = try base(name, dtype, in: bench.folder)
    let merged = try bench.run(merge(name), on: base).checkpoint
    let golden = try Checkpoint.open(
      path: Fixtures.path("peft/\(name)/merged-\(dtype == .f32 ? "f32" : "bf16").safetensors"))
    #expect(merged.contents.tensors == base.contents.tensors)
    for tensor in base.contents.tensors {
      let before = try Fixtures.floats(tensor.name, in: base)
      let values = try Fixtures.floats(tensor.name, in: merged)
      guard golden.tensor(named: tensor.name) != nil else {
        #expect(values == before, "\(tensor.name)")
        continue
      }
      let expected = try Fixtures.floats(tensor.name, in: golden)
      let largest = Double(expected.map(abs).max() ?? 0)
      let worst =
        values.indices.map { i in
          // PEFT rounds the sum, and an embedding's update before; we round the sum. Half a unit is at most 2^-8.
          let tolerance =
            dtype == .f32
            ? largest * Self.singleTolerance
            : Double(abs(expected[i])) * 0x1p-7 + Double(abs(expected[i] - before[i])) * 0x1p-8
          return Double(abs(values[i] - expected[i])) - tolerance
        }.max() ?? 0
      #expect(worst <= 0, "\(tensor.name)")
    }
  }

  @Test func `reports modules, replaced tensors, the largest change and the rounding`() throws {
    let bench = try Workbench()
    let result = try bench.run(merge("bias-all"), on: try base("bias-all", .bf16, in: bench.folder))
    #expect(result["modules"]?.integer == 4)
    #expect(result["replaced_tensors"]?.integer == 14)
    #expect(try #require(result["largest_relative_change"]?.double) > 0.1)
    #expect(result["largest_change_in"]?.string?.hasSuffix("_proj") == true)
    // Half a unit of the last place is at most 2^-8 of a value.
    #expect(try #require(result["dense_relative_rounding"]?.double) < 0x1p-8)
  }

  private static let embedding = "model.embed_tokens.weight"
  private static let ensured = [JSONValue.Member("ensure_weight_tying", .bool(true))]

  private func merge(_ sample: SampleAdapter, on bench: Workbench, _ base: Checkpoint? = nil) throws
    -> Checkpoint
  {
    let adapter = try sample.write(to: "adapter", in: bench.folder)
    let source = AdapterSource(path: PathOption(adapter.path))
    return try bench.run(.merge(MergeOptions { $0.adapter = source }), on: base).checkpoint
  }

  @Test func `copies of a tied embedding that agree are merged once`() throws {
    let bench = try Workbench(TinyModel { ($0.tiesEmbeddings, $0.dtype) = (true, .f32) })
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: ["o_proj"], Self.ensured)
    for layer in 0..<2 {
      sample.add("model.layers.\(layer).self_attn.o_proj", rank: 4, inputs: 128, outputs: 128)
    }
    sample.add(Self.embedding, [1024, 128])
    sample.add("lm_head.weight", [1024, 128], valuesOf: Self.embedding)
    let merged = try merge(sample, on: bench)
    #expect(merged.contents.tensors == bench.input.contents.tensors)
    let adapter = try PeftAdapter.open(bench.folder.path("adapter"))
    #expect(try Fixtures.floats(Self.embedding, in: merged) == adapter.floats(Self.embedding))
  }

  @Test func `adapters of a tied embedding that are transposes of each other are merged once`() throws {
    let bench = try Workbench(TinyModel { ($0.tiesEmbeddings, $0.dtype) = (true, .f32) })
    let (a, b) = ("model.embed_tokens.lora_embedding_A", "model.embed_tokens.lora_embedding_B")
    var alone = SampleAdapter(rank: 4, alpha: 6, targets: ["embed_tokens"], Self.ensured)
    alone.add(a, [4, 1024])
    alone.add(b, [128, 4])
    var both = alone
    both.add("lm_head.lora_A.weight", [4, 128], valuesOf: b, isTransposed: true)
    both.add("lm_head.lora_B.weight", [1024, 4], valuesOf: a, isTransposed: true)
    let merged = try Fixtures.floats(Self.embedding, in: merge(both, on: bench))
    #expect(merged != (try Fixtures.floats(Self.embedding, in: bench.input)))
    let other = try Workbench(TinyModel { $0.dtype = .f32 })
    #expect(try merged == Fixtures.floats(Self.embedding, in: merge(alone, on: other)))
  }

  @Test func `tying that is asked for has no effect where nothing tied is changed`() throws {
    let bench = try Workbench(TinyModel { $0.tiesEmbeddings = true })
    let q = "model.layers.0.self_attn.q_proj"
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: [q], Self.ensured)
    sample.add(q, rank: 4, inputs: 128, outputs: 128)
    let merged = try merge(sample, on: bench)
    try expectSameTensors(bench.input, merged) { $0.hasPrefix(q) }
  }

  @Test(arguments: ["saved", "adapted"])
  func `a head that the configuration calls tied is untied when an adapter changes it`(kind: String) throws {
    let bench = try Workbench()
    let path = bench.folder.path("model/config.json")
    let text = String(decoding: try bench.folder.read("model/config.json"), as: UTF8.self)
    try bench.folder.write(
      "model/config.json",
      text.replacing("\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true"))
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: ["lm_head"])
    if kind == "saved" {
      let q = "model.layers.0.self_attn.q_proj"
      sample = SampleAdapter(
        rank: 4, alpha: 6, targets: [q], [.init("modules_to_save", .array([.string("lm_head")]))])
      sample.add(q, rank: 4, inputs: 128, outputs: 128)
      sample.add("lm_head.weight", [1024, 128])
    } else {
      sample.add("lm_head", rank: 4, inputs: 128, outputs: 1024)
    }
    let merged = try merge(sample, on: bench, try Checkpoint.open(path: bench.folder.path("model")))
    let configuration = try #require(try merged.asset(named: "config.json")).withSpan {
      try JSONValue(parsing: $0)
    }
    #expect(configuration["tie_word_embeddings"] == .bool(false))
    #expect(try JSONValue(contentsOf: path)["tie_word_embeddings"] == .bool(true))
    let head = try Fixtures.floats("lm_head.weight", in: merged)
    #expect(try head != Fixtures.floats("lm_head.weight", in: bench.input))
  }

  @Test func `records the adapter's files beside the input's`() throws {
    let bench = try Workbench()
    let merged = try bench.run(merge("plain"), on: try base("plain", .f32, in: bench.folder)).checkpoint
    let entry = try #require(merged.contents.metadata["history"]?.array?.last)
    #expect(
      entry["adapters"]?.array?.compactMap { $0["file"]?.string }
        == ["adapter_config.json", "adapter_model.safetensors"])
    #expect(entry["adapters"]?.array?.allSatisfy { $0["sha256"]?.string?.utf8.count == 64 } == true)
    #expect(entry["recipe"]?["passes"]?.array?[0]["merge"]?["adapter"]?.string == Fixtures.path("peft/plain"))
  }
}
