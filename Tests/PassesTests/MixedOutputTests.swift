import Checkpoints
import Passes
import TestSupport
import Testing

/// Models whose modules have several widths and group sizes, in the formats of others.
@Suite struct MixedOutputTests {
  private static let vProjection = "model.layers.1.self_attn.v_proj"
  private let bench: Workbench

  init() throws { bench = try Workbench(fixture: "tiny-llama") }

  /// Most modules 2 bits in groups of 64; feed-forward parts 3 bits, values 4 bits in groups of 32, and one module another
  /// width in groups of 128.
  private func mixed(otherBits: Int = 4) throws -> PassOptions {
    .quantize(
      try QuantizeOptions {
        $0.tables = .f16
        $0.overrides = [
          QuantizeOverride(targets: try patterns("*.mlp.*"), bits: 3),
          QuantizeOverride(targets: try patterns("v_proj"), bits: 4, groupSize: 32),
          QuantizeOverride(targets: try patterns(Self.vProjection), bits: otherBits, groupSize: 128),
        ]
      })
  }

  @discardableResult
  private func run(
    _ pass: PassOptions, to name: String, as format: OutputFormat? = nil, ggufType: GGUFLinearType = .auto,
    isLossy: Bool = false
  ) throws -> PipelineReport {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path(name)), outputFormat: format,
      passes: [pass])
    return try Pipeline(
      recipe, Pipeline.Options(version: "0.0.0", ggufType: ggufType, isLossy: isLossy)
    ).run()
  }

  private func opened(_ name: String) throws -> Checkpoint {
    try Checkpoint.open(path: bench.folder.path(name))
  }

  private func expectSameModel(
    _ name: String, as expected: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let (found, expected) = (try opened(name), try opened(expected))
    #expect(found.contents.quantization == expected.contents.quantization, sourceLocation: sourceLocation)
    #expect(
      found.contents.tensors.count == expected.contents.tensors.count, sourceLocation: sourceLocation)
    try expectSameTensors(expected, found, sourceLocation: sourceLocation)
  }

  @Test(arguments: [4, 8])
  func `an MLX folder states the packing of each module and reads back`(otherBits: Int) throws {
    try run(try mixed(otherBits: otherBits), to: "mlx", as: .mlx)
    try run(try mixed(otherBits: otherBits), to: "model.rilq")
    try expectSameModel("mlx", as: "model.rilq")
    let configuration = try JSONValue(contentsOf: bench.folder.path("mlx/config.json"))
    // 4 layers with 3 feed-forward matrices are the majority's equal in number, and the majority has fewer bits.
    let block = try #require(configuration["quantization"])
    #expect(block["bits"] == .integer(2) && block["group_size"] == .integer(64))
    #expect(
      block["model.layers.0.mlp.up_proj"]?.compactText == #"{"group_size":64,"bits":3,"mode":"affine"}"#)
    #expect(
      block[Self.vProjection]?.compactText
        == #"{"group_size":128,"bits":\#(otherBits),"mode":"affine"}"#)
    #expect(block.object?.count == 3 + 12 + 4)
    #expect(configuration["quantization_config"] == block)
  }

  @Test(.enabled(if: PythonPeer.has("mlx_lm", "numpy"), "skipped: no Python with mlx_lm and numpy"))
  func `mlx-lm generates from a mixed folder`() throws {
    try run(try mixed(otherBits: 8), to: "mlx", as: .mlx)
    let result = try PythonPeer.runScript("check-mlx.py", bench.folder.path("mlx"), "4")
    #expect(result.code == 0 && result.text.hasPrefix("28 modules equal"), "\(result.text)")
  }

  @Test func `up to 4 bits a GGUF file holds every width and reads back`() throws {
    let report = try run(try mixed(), to: "model.gguf").json
    #expect(report["types"]?["Q4_1"] == .integer(28))
    #expect(report["proof"]?["equal"] == .bool(true))
    try run(try mixed(), to: "model.rilq")
    try expectSameModel("model.gguf", as: "model.rilq")
  }

  @Test(.enabled(if: PythonPeer.has("gguf", "numpy"), "skipped: no Python with gguf and numpy"))
  func `gguf-py finds the weights of a mixed MLX folder`() throws {
    try run(try mixed(), to: "model.gguf")
    try run(try mixed(), to: "mlx", as: .mlx)
    let result = try PythonPeer.runScript(
      "check-gguf.py", bench.folder.path("mlx"), bench.folder.path("model.gguf"))
    #expect(result.code == 0 && result.text.contains("28 Q4_1"), "\(result.text)")
  }

  @Test func `8-bit codes with biases of their own are refused by the plan, and nothing is written`() throws {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("model.gguf")),
      passes: [try mixed(otherBits: 8)])
    let error = #expect(throws: FormatError.self) {
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    }
    #expect(error?.place == "tensor '\(Self.vProjection).weight'")
    #expect(
      error?.problem
        == .notExact(
          "Q8_0 has no biases but -128 * scale or -127 * scale; those to be computed may differ; "
            + "--lossy rounds it, " + "--gguf-type f32 holds it at its full size"))
    #expect(try bench.folder.names().isEmpty)
  }

  @Test func `8-bit codes that are there already are judged by their values`() throws {
    try run(try mixed(otherBits: 8), to: "model.rilq")
    let recipe = Recipe(
      input: PathOption(bench.folder.path("model.rilq")), output: PathOption(bench.folder.path("model.gguf")),
      passes: [])
    let text = message { _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run() }
    #expect(
      text.contains("'\(Self.vProjection).weight': row 0, group 0: Q8_0 has no biases but -128 * scale"))
    #expect(try bench.folder.names() == ["model.rilq"])
  }

  @Test func `with a loss that is allowed 8-bit codes are rounded to Q8_0, all others taken over`() throws {
    let report = try run(try mixed(otherBits: 8), to: "model.gguf", isLossy: true).json
    #expect(report["types"]?["Q4_1"] == .integer(27) && report["types"]?["Q8_0"] == .integer(1))
    #expect(report["lossy"]?.array?.map { $0["name"]?.string } == [Self.vProjection + ".weight"])
    try run(try mixed(otherBits: 8), to: "model.rilq")
    let (found, expected) = (try opened("model.gguf"), try opened("model.rilq"))
    #expect(found.contents.quantization[Self.vProjection] == .affine(bits: 8, groupSize: 32))
    try expectSameTensors(expected, found) { $0.hasPrefix(Self.vProjection) }
  }

  @Test func `an F32 file holds every width`() throws {
    let report = try run(try mixed(otherBits: 8), to: "model.gguf", ggufType: .f32).json
    #expect(report["types"]?["Q4_1"] == nil && report["types"]?["Q8_0"] == nil)
    #expect(report["proof"]?["equal"] == .bool(true))
  }
}
