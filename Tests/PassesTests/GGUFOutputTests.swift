import Checkpoints
import Foundation
import Passes
import TestSupport
import Testing

@Suite struct GGUFOutputTests {
  private let quantize = PassOptions.quantize(QuantizeOptions { $0.tables = .f16 })
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func run(
    _ passes: [PassOptions], to name: String = "out.gguf", as format: OutputFormat? = nil,
    _ options: GGUFExportOptions = .init()
  ) throws -> PipelineReport {
    let recipe = Recipe(
      input: PathOption(bench.folder.path("model")), output: PathOption(bench.folder.path(name)),
      outputFormat: format, passes: passes)
    let settings = Pipeline.Options(
      version: "0.0.0", ggufType: options.linearType, isLossy: options.isLossy)
    return try Pipeline(recipe, settings).run()
  }

  /// Changes a value of the model's configuration.
  private func configure(_ key: String, _ value: JSONValue) throws {
    var configuration = try JSONValue(contentsOf: bench.folder.path("model/config.json"))
    configuration.set(key, to: value)
    try bench.folder.write("model/config.json", configuration.compactText)
  }

  @Test func `a packed checkpoint becomes one file whose types are reported`() throws {
    let report = try run([quantize])
    let document = report.json
    #expect(document["types"]?.compactText == #"{"BF16":2,"F32":5,"Q4_1":14}"#)
    #expect(document["left_out"]?.array == [])
    #expect(document["lossy"] == nil)
    #expect(document["proof"]?["equal"] == .bool(true))
    #expect(document["proof"]?["tensors"]?.array?.count == 21)
    #expect(report.bitsPerWeight == 5)
    #expect(try bench.folder.read("out.gguf").count == report.bytes)
    #expect(try bench.folder.names() == ["model", "out.gguf"])
  }

  @Test func `a window that llama.cpp ignores is told, with its length`() throws {
    try configure("model_type", .string("mistral"))
    try configure("sliding_window", .integer(16))
    let notices = try run([]).json["notices"]?.array ?? []
    #expect(notices.count == 1 && notices.first?.string?.contains("more than 16 tokens") == true)
  }

  @Test func `the same input gives the same bytes`() throws {
    _ = try run([quantize])
    let first = try bench.folder.read("out.gguf")
    try bench.folder.write("keep", first)
    _ = try Pipeline(
      Recipe(
        input: PathOption(bench.folder.path("model")), output: PathOption(bench.folder.path("out.gguf")),
        passes: [quantize]), Pipeline.Options(force: true, version: "0.0.0")
    ).run()
    #expect(try bench.folder.read("out.gguf") == first)
  }

  @Test(arguments: [GGUFLinearType.q8_0, .q4_1])
  func `dense weights are not rounded unless that is allowed`(type: GGUFLinearType) throws {
    let error = #expect(throws: FormatError.self) { try run([], GGUFExportOptions(linearType: type)) }
    #expect(error?.place == "tensor 'model.layers.0.self_attn.q_proj.weight'")
    guard case .notExact = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try bench.folder.names() == ["model"])
    let losses = try run([], GGUFExportOptions(linearType: type, isLossy: true)).json["lossy"]?.array
    #expect(losses?.count == 14)
  }

  @Test func `a loss that is allowed is reported for each tensor`() throws {
    let passes = [PassOptions.quantize(QuantizeOptions())]
    let document = try run(passes, GGUFExportOptions(isLossy: true)).json
    let losses = document["lossy"]?.array ?? []
    #expect(losses.count == 14)
    #expect(losses.first?["name"]?.string == "model.layers.0.self_attn.q_proj.weight")
    #expect(losses.allSatisfy { $0["type"]?.string == "Q4_1" && ($0["max_error"]?.double ?? 1) < 1e-3 })
    // Reading the file back finds the same tensors to differ, and no other.
    #expect(document["proof"]?["equal"] == .bool(false))
    let differing = (document["proof"]?["tensors"]?.array ?? []).filter { $0["equal"] == .bool(false) }
    #expect(Set(differing.map { $0["name"]?.string }) == Set(losses.map { $0["name"]?.string }))
  }

  /// A recipe to `out.gguf` whose tables are F32.
  private func planned(from input: String = "model", _ passes: [PassOptions], _ type: GGUFLinearType = .auto)
    throws
    -> PipelinePlan
  {
    let recipe = Recipe(
      input: PathOption(bench.folder.path(input)), output: PathOption(bench.folder.path("out.gguf")),
      passes: passes)
    return try Pipeline(recipe, Pipeline.Options(version: "0.0.0", ggufType: type)).plan()
  }

  @Test(arguments: [GGUFLinearType.auto, .q4_1, .q2_0])
  func `tables that a pass would compute in F32 are refused by the plan`(type: GGUFLinearType) throws {
    let error = #expect(throws: FormatError.self) {
      try planned([.quantize(QuantizeOptions())], type)
    }
    let reason =
      type == .q2_0
      ? "Q2_0 has no biases but -scale or -2 * scale; those to be computed may differ"
      : "Q4_1 has F16 tables, but those to be computed are F32; --tables f16 makes them F16"
    #expect(
      error?.problem
        == .notExact(reason + "; --lossy rounds it, --gguf-type f32 holds it at its full size"))
    #expect(error?.place == "tensor 'model.layers.0.self_attn.q_proj.weight'")
  }

  @Test func `a plan with dense linears does not ask how tables are stored`() throws {
    #expect(try planned([.quantize(QuantizeOptions())], .f32).passes.count == 1)
  }

  @Test func `tables in F32 that are there already are judged by their values`() throws {
    try bench.run(.quantize(QuantizeOptions()), to: "packed.rilq")
    #expect(try planned(from: "packed.rilq", []).passes.isEmpty)
    let recipe = Recipe(
      input: PathOption(bench.folder.path("packed.rilq")), output: PathOption(bench.folder.path("out.gguf")),
      passes: [])
    let error = #expect(throws: FormatError.self) {
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    }
    #expect(error?.description.contains(": row 0, group ") == true)
    #expect(error?.description.contains("F16 scales") == true)
  }

  @Test func `another architecture has no place, and nothing is written`() throws {
    try configure("model_type", .string("mpt"))
    let error = #expect(throws: FormatError.self) { try run([]) }
    #expect(error?.problem == .notExact("model type 'mpt' is not supported"))
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `an adapter beside the weights has no place`() throws {
    let attach = PassOptions.attach(
      AttachOptions {
        $0.kind = .pooled
        $0.rank = 4
      })
    let error = #expect(throws: FormatError.self) { try run([quantize, attach]) }
    #expect(error?.description.contains("'rilq merge' folds them in") == true)
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `the stretching of Llama 3 becomes a tensor of factors`() throws {
    let scaling = """
      {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
       "original_max_position_embeddings": 256}
      """
    try configure("rope_scaling", JSONValue(parsing: Array(scaling.utf8)))
    let plain = Array("rope_freqs.weight".utf8)
    _ = try run([])
    let bytes = try bench.folder.read("out.gguf")
    let start = try #require(bytes.indices.first { bytes[$0...].starts(with: plain) })
    #expect(bytes[(start + plain.count)...].starts(with: [1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    // The tensor is the file's last: 16 factors, the fastest frequency kept, the slowest divided by 8.
    #expect(bytes.suffix(64).prefix(4) == [0, 0, 0x80, 0x3F])
    #expect(bytes.suffix(4) == [0, 0, 0, 0x41])
  }

  /// Writes a changed copy of the model in its place.
  private func change(_ change: (inout FolderChanges) -> Void) throws {
    try bench.input.writeFolder(to: bench.folder.path("changed"), changing: change)
    try FileManager.default.removeItem(atPath: bench.folder.path("model"))
    try FileManager.default.moveItem(
      atPath: bench.folder.path("changed"), toPath: bench.folder.path("model"))
  }

  @Test func `a head that is the embedding is left out and named`() throws {
    let embedding = try #require(bench.input.tensor(named: "model.embed_tokens.weight"))
    let bytes = try bench.input.copiedBytes(of: embedding.name)
    try change { $0.tieEmbeddings(beside: bytes, like: embedding) }
    let document = try run([]).json
    #expect(document["left_out"]?.array == [.string("lm_head.weight")])
    #expect(document["notices"] == nil)
    #expect(document["proof"]?["equal"] == .bool(true))
    #expect(try Checkpoint.open(path: bench.folder.path("out.gguf")).tensor(named: "lm_head.weight") == nil)
  }

  @Test func `a head of other values is written, whatever the configuration ties`() throws {
    let head = try bench.input.copiedBytes(of: "lm_head.weight")
    try change { $0.tieEmbeddings() }
    let document = try run([quantize]).json
    #expect(document["left_out"]?.array == [])
    #expect(document["notices"]?.array?.count == 1)
    let written = try Checkpoint.open(path: bench.folder.path("out.gguf"))
    #expect(try written.copiedBytes(of: "lm_head.weight") == head)
    #expect(try ModelConfiguration(of: written).tiesEmbeddings == false)
  }

  @Test(arguments: [true, false])
  func `rotary frequencies are left out and named, or refused when they are others`(isEqual: Bool) throws {
    let name = "model.layers.1.self_attn.rotary_emb.inv_freq"
    let rotary = RotaryParameters(theta: isEqual ? 10_000 : 500_000)
    let frequencies = rotary.frequencies(headSize: 32)
    try change {
      $0.added = [
        (
          TensorInfo(name: name, dtype: .f32, shape: [16]),
          TensorBytes(frequencies, as: .f32).withSpan { $0.copiedBytes() }
        )
      ]
    }
    guard isEqual else {
      let error = #expect(throws: FormatError.self) { try run([]) }
      #expect(error?.place == "tensor '\(name)'")
      #expect(error?.description.contains("other rotary frequencies") == true)
      return
    }
    let document = try run([]).json
    #expect(document["left_out"]?.array == [.string(name)])
    #expect(document["proof"]?["equal"] == .bool(true))
  }

  @Test(arguments: [true, false])
  func `a model without the usual prefix becomes the same file`(isQuantized: Bool) throws {
    let passes = isQuantized ? [quantize] : []
    _ = try run(passes, to: "usual.gguf")
    try change { $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 } }
    let document = try run(passes, to: "bare.gguf").json
    #expect(document["proof"]?["equal"] == .bool(true))
    let (usual, bare) = (
      try Checkpoint.open(path: bench.folder.path("usual.gguf")),
      try Checkpoint.open(path: bench.folder.path("bare.gguf"))
    )
    #expect(usual.contents.tensors.count == bare.contents.tensors.count)
    try expectSameTensors(usual, bare)
  }

  @Test func `a window that MLX does not compute is refused before anything is written`() throws {
    try configure("model_type", .string("mistral"))
    try configure("sliding_window", .integer(16))
    let error = #expect(throws: FormatError.self) { try run([quantize], to: "mlx", as: .mlx) }
    #expect(error?.place == "key 'sliding_window'")
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `MLX, which finds nothing without the prefix, refuses such a model`() throws {
    try change { $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 } }
    let error = #expect(throws: FormatError.self) { try run([quantize], to: "mlx", as: .mlx) }
    #expect(error?.place == "tensor 'embed_tokens.weight'")
    #expect(error?.description.contains("'model.'") == true)
  }

  @Test func `an MLX folder says that a head of its own is one`() throws {
    try change { $0.tieEmbeddings() }
    let report = try run([quantize], to: "mlx", as: .mlx)
    #expect(report.notices.count == 1)
    let written = try Checkpoint.open(path: bench.folder.path("mlx"))
    #expect(try ModelConfiguration(of: written).tiesEmbeddings == false)
  }

  @Test(.enabled(if: PythonPeer.has("gguf", "numpy"), "skipped: no Python with gguf and numpy"))
  func `gguf-py finds the weights of the MLX folder of the same checkpoint`() throws {
    _ = try run([quantize])
    _ = try run([quantize], to: "mlx", as: .mlx)
    let result = try PythonPeer.runScript(
      "check-gguf.py", bench.folder.path("mlx"), bench.folder.path("out.gguf"))
    #expect(result.text == "equal 2 BF16 5 F32 14 Q4_1\n")
  }

  @Test(.enabled(if: PythonPeer.has("mlx_lm", "numpy"), "skipped: no Python with mlx_lm and numpy"))
  func `mlx-lm generates from a 2-bit folder`() throws {
    let recipe = Recipe(
      input: PathOption(Fixtures.path("tiny-llama")), output: PathOption(bench.folder.path("mlx")),
      outputFormat: .mlx, passes: [quantize])
    _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    let result = try PythonPeer.runScript("check-mlx.py", bench.folder.path("mlx"), "4")
    #expect(result.code == 0 && result.text.hasPrefix("28 modules equal"), "\(result.text)")
  }
}
