import Checkpoints
import Foundation
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// What PEFT itself makes of adapters that we write, where a Python with it is found.
@Suite(
  .enabled(
    if: PythonPeer.has("peft", "transformers", "torch", "safetensors"),
    "skipped: no Python with peft, transformers, torch and safetensors"))
struct PeftPeerTests {
  /// Singles through four layers; sums are added in another order.
  private static let tolerance = 1e-5

  @Test func `PEFT computes the logits of a dense adapter that we write`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let attached = try bench.run(
      .attach(
        AttachOptions {
          $0.kind = .dense
          $0.rank = 4
          $0.alpha = 9
        }), to: "attached.rilq"
    ).checkpoint
    let moved = try attached.copy(to: bench.folder.path("moved.rilq")) { name, values in
      if name.hasSuffix(".lora_B.weight") { values = noise(name, count: values.count, size: 0.3) }
    }
    let written = try bench.run(on: moved, to: "written").checkpoint
    let path = bench.folder.path("logits.safetensors")
    try runPeft(
      """
      from transformers import AutoModelForCausalLM
      from peft import PeftModel
      base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
      model = PeftModel.from_pretrained(base, sys.argv[2]).eval()
      tokens = torch.tensor([[int(t) for t in sys.argv[4].split(",")]])
      with torch.no_grad():
        save_file({"logits": model(tokens).logits[0].contiguous()}, sys.argv[3])
      """,
      Fixtures.path("tiny-llama"), written.path, path,
      sampleTokens.map(String.init).joined(separator: ","))
    let expected = try Fixtures.floats("logits", in: try Checkpoint.open(path: path))
    let logits = try written.logits(sampleTokens)
    #expect(relativeError(logits, expected) < Self.tolerance)
    #expect(relativeError(try bench.input.logits(sampleTokens), expected) > 0.01, "the adapter does nothing")
  }

  @Test func `PEFT finds the modules of a model inside a larger one, and we find its own`() throws {
    let folder = try TemporaryFolder()
    let fixture = try FamilyFixture("gemma3-wrapped")
    let base = try fixture.write(to: folder.path("model"), dtype: .f32)
    func run(_ pass: PassOptions, to name: String) throws -> Checkpoint {
      let recipe = Recipe(
        input: PathOption(base.path), output: PathOption(folder.path(name)), passes: [pass])
      _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
      return try Checkpoint.open(path: folder.path(name))
    }
    let attached = try run(
      .attach(
        AttachOptions {
          $0.kind = .dense
          $0.rank = 4
        }), to: "attached")
    // Loads what we wrote, moves it, and saves it as PEFT does.
    let path = folder.path("logits.safetensors")
    try runPeft(
      """
      from transformers import AutoModelForImageTextToText
      from peft import PeftModel
      base = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32)
      model = PeftModel.from_pretrained(base, sys.argv[2]).eval()
      torch.manual_seed(1)
      for name, parameter in model.named_parameters():
        if "lora_B" in name: parameter.data.normal_(0, 0.3)
      model.save_pretrained(sys.argv[3])
      tokens = torch.tensor([[int(t) for t in sys.argv[5].split(",")]])
      with torch.no_grad():
        save_file({"logits": model(input_ids=tokens).logits[0].contiguous()}, sys.argv[4])
      """,
      base.path, attached.path, folder.path("adapter"), path,
      fixture.tokens.map(String.init).joined(separator: ","))
    let merge = MergeOptions { $0.adapter = AdapterSource(path: PathOption(folder.path("adapter"))) }
    let merged = try run(.merge(merge), to: "merged")
    let expected = try Fixtures.floats("logits", in: try Checkpoint.open(path: path))
    #expect(relativeError(try merged.logits(fixture.tokens), expected) < Self.tolerance)
    #expect(relativeError(try base.logits(fixture.tokens), expected) > 0.01, "the adapter does nothing")
  }

  @Test func `PEFT's pooled forward gives the update that we merge`() throws {
    let bench = try Workbench()
    let attached = try bench.run(
      .quantize(QuantizeOptions { $0.groupSize = 32 }),
      .attach(
        AttachOptions {
          $0.kind = .pooled
          $0.rank = 4
          $0.alpha = 9
        }),
      to: "attached.rilq"
    ).checkpoint
    let moved = try attached.copy(to: bench.folder.path("moved.rilq")) { name, values in
      if name.hasSuffix(".lora_B.weight") { values = noise(name, count: values.count, size: 0.3) }
    }
    let written = try bench.run(on: moved, to: "written").checkpoint
    let path = bench.folder.path("update.safetensors")
    let module = "model.layers.1.mlp.down_proj"
    // PEFT has the variant on GPTQ layers only: its forward is called on a stand-in, with every unit vector.
    try runPeft(
      """
      import types
      from peft import LoraConfig
      from peft.tuners.lora.variants import QALoraLinearVariant
      config = LoraConfig.from_pretrained(sys.argv[1])
      tensors = load_file(sys.argv[1] + "/adapter_model.safetensors")
      name = sys.argv[3]
      assert config.use_qalora
      layer = lambda part: {"default": types.SimpleNamespace(weight=tensors[f"base_model.model.{name}.{part}.weight"])}
      module = types.SimpleNamespace(
        lora_A=layer("lora_A"), lora_B=layer("lora_B"), lora_dropout={"default": torch.nn.Identity()}, training=False,
        scaling={"default": config.alpha_pattern[name] / config.r}, in_features=128,
        qalora_group_size={"default": config.qalora_group_size})
      x = torch.eye(128)
      update = QALoraLinearVariant.forward(module, "default", x, torch.zeros(128, 128))
      save_file({"update": update.T.contiguous()}, sys.argv[2])
      """, written.path, path, module)
    let expected = try Fixtures.floats("update", in: try Checkpoint.open(path: path))
    let linear = try #require(try Transformer(written).layerLinears.first { $0.name == module })
    var plain = linear
    plain.adapter = nil
    let update = zip(linear.foldedWeight.values, plain.foldedWeight.values).map { $0 - $1 }
    #expect(relativeError(update, expected) < Self.tolerance)
  }

  @Test(arguments: PeftMergeTests.cases.filter { !$0.hasPrefix("fan-") })
  func `PEFT reads our merged weights as its own`(name: String) throws {
    let bench = try Workbench()
    let base = Fixtures.path("peft/base-llama")
    let adapter = Fixtures.path("peft/" + name)
    let recipe = Recipe(
      input: PathOption(base), output: PathOption(bench.folder.path("merged")),
      passes: [
        .merge(MergeOptions { $0.adapter = AdapterSource(path: PathOption(adapter)) })
      ])
    _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    try runPeft(
      """
      from transformers import AutoModelForCausalLM
      from peft import PeftModel
      load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
      theirs = PeftModel.from_pretrained(load(sys.argv[1]), sys.argv[2]).merge_and_unload().eval()
      ours = load(sys.argv[3]).eval()
      tokens = torch.arange(32)[None]
      with torch.no_grad():
        a, b = theirs(tokens).logits, ours(tokens).logits
      assert (a - b).norm() < 1e-5 * a.norm(), (a - b).norm() / a.norm()
      """, base, adapter, bench.folder.path("merged"))
  }
}

/// Runs a program with PEFT, with `torch` and the functions of safetensors at hand.
private func runPeft(_ program: String, _ arguments: String...) throws {
  let imports = "import sys, torch\nfrom safetensors.torch import load_file, save_file\n"
  try PythonPeer.run(imports + program, arguments)
}
