import Checkpoints
import TestSupport
import Testing

/// Which modules a configuration selects, as PEFT 0.21 does.
@Suite struct PeftTargetTests {
  private static let modules = [
    "model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj",
    "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.experts.0.up_proj", "model.layers.10.mlp.up_proj",
    "my_q_proj", "q_proj", "lm_head",
  ]

  private func selected(_ settings: String) throws -> [String] {
    let folder = try TemporaryFolder()
    try folder.write(
      "adapter_config.json", #"{"peft_type": "LORA", "r": 1, "lora_alpha": 1, \#(settings)}"#)
    let name = "base_model.model.x.weight"
    try folder.write(
      "adapter_model.safetensors", safetensors("{\(entry(name, "F32", [1], 0, 4))}", [0, 0, 0, 0]))
    return Self.modules.filter(try PeftAdapter.open(folder.path).targetMatcher())
  }

  @Test(arguments: [
    (#""target_modules": ["q_proj"]"#, [1, 3, 7]),
    (#""target_modules": ["self_attn.q_proj", "lm_head"]"#, [1, 3, 8]),
    (#""target_modules": "model\\.layers\\.\\d\\..*""#, [1, 2, 3, 4]),
    (#""target_modules": "q_proj|.*up_proj""#, [2, 4, 5, 7]),
    (#""target_modules": "all-linear""#, [1, 2, 3, 4, 5, 6, 7]),
    (#""target_modules": "All-Linear""#, [1, 2, 3, 4, 5, 6, 7]),
    (#""target_modules": ["q_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]"#, [1, 7]),
    (#""target_modules": ["q_proj", "up_proj"], "exclude_modules": ".*\\.1\\..*""#, [1, 2, 5, 7]),
    (#""target_modules": ["q_proj", "up_proj"], "layers_to_transform": 1"#, [3, 4, 7]),
    (#""target_modules": ["up_proj"], "layers_to_transform": [0, 10], "layers_pattern": "layers""#, [2, 5]),
    (#""target_modules": ["up_proj"], "layers_to_transform": [0], "layers_pattern": ["h", "experts"]"#, [4]),
    (#""target_modules": ["up_proj"], "layers_to_transform": [3]"#, []),
    (#""target_modules": "x", "modules_to_save": ["x"]"#, []),
    (#""target_modules": "(?:[a-z0-9_.]+)+!""#, []),
    (#""target_modules": "(?:(?:(?:.*)*)*)*x""#, []),
    // As unsloth writes them.
    (
      #""target_modules": "(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\.(?:(?:q_proj|up_proj)))""#,
      [1, 2, 3, 5]
    ),
    (#""target_modules": ".*\\bq_proj""#, [1, 3, 7]),
    (#""target_modules": ".*\\Bq_proj""#, [6]),
    (#""target_modules": "[^.]*""#, [6, 7, 8]),
    (#""target_modules": "(?:\\w+\\.){1,2}embed_tokens|lm_head$""#, [0, 8]),
  ])
  func `selects modules`(settings: String, indices: [Int]) throws {
    #expect(try selected(settings) == indices.map { Self.modules[$0] })
  }

  @Test(arguments: [
    ("q_proj", [4, 4, 1]), ("layers.1.q_proj", [4, 1, 1]), ("layers.*q_proj", [4, 4, 1]),
    (".*", [4, 4, 4]), ("^model.layers.1[.].*", [4, 1, 1]), ("(up|q)_proj", [4, 4, 4]), ("proj", [1, 1, 1]),
    ("layers.1", [1, 1, 1]), (#"layers\\.\\d+\\.q_proj"#, [4, 4, 1]),
  ])
  func `takes a value of a pattern for a name or its end`(pattern: String, alphas: [Double]) throws {
    let folder = try TemporaryFolder()
    var sample = SampleAdapter(rank: 2, alpha: 1, targets: ["q_proj", "up_proj"])
    let modules = ["model.layers.1.q_proj", "model.layers.12.q_proj", "up_proj"]
    for module in modules { sample.add(module, rank: 2, inputs: 4, outputs: 3) }
    try sample.write(to: "a", in: folder)
    let text = String(decoding: try folder.read("a/adapter_config.json"), as: UTF8.self)
    // The pattern behind it matches everything: the first one that matches counts.
    let setting = #""alpha_pattern": {"\#(pattern)": 4, "\\w.*": 1}"#
    try folder.write(
      "a/adapter_config.json", text.replacing("\"peft_type\"", with: setting + ", \"peft_type\""))
    guard alphas.contains(4) else {
      #expect(throws: FormatError.self) { try PeftAdapter.open(folder.path("a")) }
      return
    }
    let adapter = try PeftAdapter.open(folder.path("a"))
    #expect(adapter.modules.map(\.alpha) == alphas)
  }
}
