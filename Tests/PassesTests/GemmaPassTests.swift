import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Passes on Gemma 4: layers that share keys and values and have inputs beside the stream, and experts beside
/// the feed-forward part.
@Suite(.serialized) struct GemmaPassTests {
  enum Kind: String, CaseIterable, Sendable {
    case connected, experts

    func model() throws -> FamilyModel {
      switch self {
      case .connected: try .connectedGemma4()
      case .experts: try .gemma4Moe()
      }
    }
  }

  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func quantize(_ change: (inout QuantizeOptions) -> Void) -> PassOptions {
    .quantize(
      QuantizeOptions {
        $0.groupSize = 32
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 32
        change(&$0)
      })
  }

  private func calibrate(_ change: (inout CalibrateOptions) -> Void) -> PassOptions {
    .calibrate(
      CalibrateOptions {
        $0.texts = [Self.text]
        $0.samples = 8
        $0.length = 32
        $0.updates = 4
        change(&$0)
      })
  }

  @Test(arguments: Kind.allCases, [AdapterInitialization.qera, .atc])
  func `it is quantized with a text, trained, compensated, calibrated, merged and verified`(
    kind: Kind, initialization: AdapterInitialization
  ) throws {
    let bench = try Workbench(kind.model())
    let result = try bench.run(
      quantize {
        $0.method = .gptq
        $0.layerEpochs = 2
        $0.propagation = 0.5
      },
      .attach(
        AttachOptions {
          $0.initialization = initialization
          $0.text = Self.text
          $0.rank = 2
          $0.samples = 4
          $0.length = 32
        }),
      calibrate { $0.validation = 0 }, .merge(MergeOptions()),
      .verify(
        VerifyOptions {
          $0.text = Self.text
          $0.maxTokens = 128
          $0.window = 32
        }))
    let losses = ["layer_loss_before", "layer_loss_after"].map { result.reports[0][$0]?.double ?? .nan }
    #expect(losses[1] < losses[0])
    #expect(result["passed"] == .bool(true))
    #expect(result.checkpoint.contents.adapter == nil)
    let layout = try ModelLayout(of: result.checkpoint)
    let names = Set(try Transformer(result.checkpoint).layerLinears.map(\.name))
    #expect(Set(result.checkpoint.contents.quantization.keys) == names.filter(layout.isLayerLinear))
  }

  // At the end of a random mixture the loss jumps with the choice of experts.
  @Test(arguments: [
    (Kind.connected, LossScope.linear), (.connected, .layer), (.connected, .model), (.experts, .layer),
  ])
  func `calibration lowers its loss at every scope`(kind: Kind, scope: LossScope) throws {
    let bench = try Workbench(kind.model())
    let result = try bench.run(
      quantize { $0.method = .search },
      .attach(AttachOptions { $0.rank = 4 }),
      calibrate {
        $0.scope = scope
        $0.groundTruthWeight = 0
        $0.modelWeight = 1
        $0.updates = 8
        $0.learningRate = 5e-4
      })
    let losses = ["validation_before", "validation_after"].map { result[$0]?["model_loss"]?.double ?? .nan }
    #expect(losses[1] < losses[0], "\(losses)")
  }

  @Test(arguments: Kind.allCases)
  func `a budget of bits reaches every part of a layer`(kind: Kind) throws {
    let bench = try Workbench(kind.model())
    let result = try bench.run(
      quantize {
        $0.method = .search
        $0.tables = .f16
        $0.bitsPerWeight = 4.5
      })
    let quantization = result.checkpoint.contents.quantization
    func bits(_ part: String) -> [Int] { quantization.filter { $0.key.contains(part) }.values.map(\.bits) }
    // A part whose result waits for the next one counts with the sum of both.
    for part in ["self_attn.o_proj", kind == .experts ? "mlp.down_proj" : "per_layer_projection"] {
      #expect(bits(part).contains { $0 > 2 }, "\(part)")
    }
  }

  @Test(arguments: Kind.allCases)
  func `the analysis compares every linear on a text`(kind: Kind) throws {
    let bench = try Workbench(kind.model())
    let quantized = try bench.run(quantize { $0.method = .search }).checkpoint
    let analysis = try ErrorAnalysis(
      quantized, reference: bench.input,
      text: ErrorAnalysis.Text(path: Self.text.resolved, samples: 4, length: 32))
    #expect(analysis.linears.count == (try Transformer(bench.input).layerLinears.count))
    #expect(analysis.layers.count == (try Transformer(bench.input).layers.count))
    #expect(analysis.layers.allSatisfy { $0 > 0 && $0.isFinite })
  }

  @Test func `experts beside the feed-forward part go to MLX in one tensor and come back`() throws {
    let bench = try Workbench(.gemma4Moe())
    let source = try bench.run(quantize { $0.method = .search }).checkpoint
    let path = bench.folder.path("mlx")
    let recipe = Recipe(
      input: PathOption(source.path), output: PathOption(path), outputFormat: .mlx, passes: [])
    _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    let stored = try SafetensorsFile(path: path + "/model.safetensors").header.entries.map(\.tensor)
    let stack = "model.layers.1.experts.switch_glu.down_proj.weight"
    #expect(stored.first { $0.name == stack }?.shape == [4, 64, 2])
    try expectSameTensors(source, Checkpoint.open(path: path))
  }
}
