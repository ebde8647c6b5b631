import Checkpoints
import TestSupport
import Testing

@Suite struct `PEFT adapter` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The quantized sample with adapters of rank 2 on both modules.
  private func sample(_ kind: AdapterParameters.Kind, alpha: Double = 6) -> SampleCheckpoint {
    var sample = SampleCheckpoint.quantized()
    sample.contents.quantization["b"] = QuantizedLayout(bits: 4, groupSize: 32)
    sample.contents.tensors.removeAll { $0.name.hasPrefix("b.") }
    sample.add(SampleCheckpoint.quantizedTensors("b", out: 4, in: 96, bits: 4, groupSize: 32))
    let columns = kind == .dense ? [64, 96] : [2, 3]
    sample.add([
      TensorInfo(name: "a.lora_A.weight", dtype: .f32, shape: [2, columns[0]]),
      TensorInfo(name: "a.lora_B.weight", dtype: .f32, shape: [8, 2]),
      TensorInfo(name: "b.lora_A.weight", dtype: .f32, shape: [2, columns[1]]),
      TensorInfo(name: "b.lora_B.weight", dtype: .f32, shape: [4, 2]),
    ])
    sample.contents.adapter = AdapterParameters(kind: kind, rank: 2, alpha: alpha)
    return sample
  }

  @Test(arguments: AdapterParameters.Kind.allCases, [6, 0.1, 16, 1e-3] as [Double])
  func `is written and read back with its checkpoint`(kind: AdapterParameters.Kind, alpha: Double) throws {
    let sample = sample(kind, alpha: alpha)
    try sample.write(to: folder.path)
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents.adapter == sample.contents.adapter)
    #expect(checkpoint.contents.sortedTensors == sample.contents.sortedTensors)
    #expect(checkpoint.contents.assets.map(\.name) == ["config.json"])
    for (name, bytes) in sample.values { #expect(try checkpoint.bytes(of: name).array == bytes) }
  }

  @Test func `is written with PEFT's names and keys`() throws {
    try sample(.dense).write(to: folder.path)
    let header = try SafetensorsFile(path: folder.path("adapter_model.safetensors")).header
    #expect(header.entries.first?.tensor.name == "base_model.model.a.lora_A.weight")
    #expect(
      try String(decoding: folder.read("adapter_config.json"), as: UTF8.self) == """
        {
          "peft_type": "LORA",
          "task_type": "CAUSAL_LM",
          "base_model_name_or_path": null,
          "r": 2,
          "lora_alpha": 6,
          "lora_dropout": 0.0,
          "target_modules": ["a","b"],
          "modules_to_save": null,
          "bias": "none",
          "fan_in_fan_out": false,
          "use_rslora": false,
          "use_dora": false,
          "inference_mode": true
        }

        """)
  }

  @Test func `is written as QA-LoRA when it is pooled, alpha divided by the number of groups`() throws {
    try sample(.pooled).write(to: folder.path)
    let configuration = try JSONValue(contentsOf: folder.path("adapter_config.json"))
    #expect(configuration["use_qalora"] == .bool(true))
    #expect(configuration["qalora_group_size"]?.integer == 32)
    #expect(configuration["alpha_pattern"]?.compactText == #"{"a":3,"b":2}"#)
  }

  @Test func `is refused when it pools groups of several sizes`() {
    var sample = sample(.pooled)
    sample.contents.quantization["a"] = QuantizedLayout(bits: 2, groupSize: 64)
    for (i, tensor) in sample.contents.tensors.enumerated()
    where ["a.scales", "a.biases"].contains(tensor.name) {
      sample.contents.tensors[i] = TensorInfo(name: tensor.name, dtype: .f16, shape: [8, 1])
    }
    sample.contents.tensors.removeAll { $0.name == "a.lora_A.weight" }
    sample.add([TensorInfo(name: "a.lora_A.weight", dtype: .f32, shape: [2, 1])])
    #expect(
      message(in: folder) { try sample.write(to: folder.path) }
        .says(": adapter_config.json: … [32, 64] … one group size …"))
  }

  /// Writes an adapter of rank 2 on module `m`, `[3, 8]`.
  private func write(
    _ configuration: String, columns: Int = 8, names: [String] = ["m.lora_A.weight", "m.lora_B.weight"]
  )
    throws
  {
    let shapes = ["m.lora_A.weight": [2, columns], "m.lora_B.weight": [3, 2]]
    var (json, end) = ("", 0)
    for name in names {
      let shape = shapes[name] ?? [1]
      let size = shape.reduce(4, *)
      json += (json.isEmpty ? "" : ",") + entry("base_model.model." + name, "F32", shape, end, end + size)
      end += size
    }
    try folder.write("adapter_model.safetensors", safetensors("{\(json)}", [UInt8](repeating: 7, count: end)))
    try folder.write("adapter_config.json", configuration)
  }

  private func configuration(_ more: String = "") -> String {
    #"{"peft_type": "LORA", "r": 2, "lora_alpha": 8, "bias": "none", "target_modules": ["m"]\#(more.isEmpty ? "" : ", " + more)}"#
  }

  private func openMessage() -> String? {
    message(in: folder) { _ = try PeftAdapter.open(folder.path).parameters() }
  }

  @Test func `is opened alone`() throws {
    try write(configuration())
    let adapter = try PeftAdapter.open(folder.path)
    #expect(try adapter.parameters() == AdapterParameters(kind: .dense, rank: 2, alpha: 8))
    #expect(
      adapter.tensors.map(\.name) == [
        "base_model.model.m.lora_A.weight", "base_model.model.m.lora_B.weight",
      ])
    #expect(try adapter.bytes(of: adapter.tensors[1]).array == [UInt8](repeating: 7, count: 24))
  }

  @Test func `is opened as pooled, alpha times the number of groups`() throws {
    try write(configuration(#""use_qalora": true, "qalora_group_size": 4"#), columns: 2)
    let adapter = try PeftAdapter.open(folder.path)
    #expect(try adapter.parameters() == AdapterParameters(kind: .pooled, rank: 2, alpha: 16))
    #expect(try adapter.parameters(.qaLora) == AdapterParameters(kind: .pooled, rank: 2, alpha: 8))
    #expect(adapter.groupSize == 4)
  }

  @Test func `takes the square root of the rank into alpha when it is rank-stabilized`() throws {
    try write(configuration(#""use_rslora": true"#))
    let adapter = try PeftAdapter.open(folder.path)
    #expect(adapter.modules[0].scaling == 8 / 2.0.squareRoot())
    #expect(try adapter.parameters() == AdapterParameters(kind: .dense, rank: 2, alpha: 8 * 2.0.squareRoot()))
  }

  @Test(arguments: [
    (#""use_dora": true"#, ["m.lora_magnitude_vector"], "use_dora"),
    (#""fan_in_fan_out": true"#, [], "fan_in_fan_out"),
    (#""lora_bias": true"#, ["m.lora_B.bias"], "lora_bias"),
  ])
  func `cannot stay beside the weights when it is more than A and B`(
    setting: String, names: [String], key: String
  ) throws {
    try write(configuration(setting), names: ["m.lora_A.weight", "m.lora_B.weight"] + names)
    #expect(try PeftAdapter.open(folder.path).modules.count == 1)
    #expect(
      openMessage().says("/adapter_config.json: key '\(key)': … beside … 'rilq merge BASE ADAPTER OUT' …"))
  }

  @Test func `takes alpha from a pattern`() throws {
    try write(configuration(#""alpha_pattern": {"m": 5.5}"#))
    #expect(try PeftAdapter.open(folder.path).parameters().alpha == 5.5)
  }

  @Test(arguments: [
    (#""use_new_thing": true"#, "key 'use_new_thing': … not supported …"),
    (#""new_alpha": 0.5"#, "key 'new_alpha': … 0.5 … not supported …"),
    (#""layer_replication": [[0, 1]]"#, "key 'layer_replication': … [[0,1]] … not supported …"),
    (#""target_parameters": ["m"]"#, #"key 'target_parameters': … ["m"] … not supported …"#),
    (#""trainable_token_indices": [1]"#, "key 'trainable_token_indices': … [1] … not supported …"),
    (#""lora_bias": true, "use_dora": true"#, "key 'lora_bias': … no meaning … use_dora …"),
    (
      #""use_dora": true, "use_qalora": true, "qalora_group_size": 4"#,
      "key 'use_dora': … no meaning … use_qalora …"
    ),
    (#""use_dora": 1"#, "key 'use_dora': … not true or false …"),
    (#""modules_to_save": ["x"]"#, "key 'modules_to_save': 'x': … missing …"),
    (#""modules_to_save": [1]"#, "key 'modules_to_save': … not a list …"),
    (#""rank_pattern": {"m": 0}"#, "key 'rank_pattern': 'm': … positive integer …"),
    (#""rank_pattern": {"(": 4}"#, "key 'rank_pattern': … '(' … regular expression …"),
    (
      #""rank_pattern": {"(?!m).*": 4}"#,
      "key 'rank_pattern': … '(?!m).*' … '(?!' … not supported …"
    ),
    (#""rank_pattern": {"(m)\\1": 4}"#, #"key 'rank_pattern': … '(m)\1' … '\1' … not supported …"#),
    (
      #""alpha_pattern": {"m++": 4}"#,
      "key 'alpha_pattern': … 'm++' … possessive … '+' … not supported …"
    ),
    (
      #""layers_to_transform": [1], "layers_pattern": "h|layers""#,
      "key 'layers_pattern': … 'h|layers' … not supported … '_' …"
    ),
    (#""rank_pattern": {"x": 4}"#, "key 'rank_pattern': 'x': … no module …"),
    (#""layers_pattern": "layers""#, "key 'layers_pattern': … goes with … layers_to_transform … only …"),
    (#""layers_to_transform": ["a"]"#, "key 'layers_to_transform': … not a list …"),
    (
      #""init_lora_weights": "pissa""#,
      #"key 'init_lora_weights': … "pissa" … changed base weights … not supported …"#
    ),
    (#""alpha_pattern": {"x": 4}"#, "key 'alpha_pattern': 'x': … no module …"),
    (#""alpha_pattern": {"m": "4"}"#, "key 'alpha_pattern': 'm': … not a number …"),
    (#""use_qalora": true"#, "key 'qalora_group_size': … positive integer …"),
  ])
  func `is refused when it means something else`(setting: String, reason: String) throws {
    try write(configuration(setting))
    let text = openMessage()
    #expect(text.says("/adapter_config.json: " + reason), "\(text ?? "")")
  }

  @Test(arguments: [
    (#"{"peft_type": "IA3"}"#, #"key 'peft_type': … "IA3" … not supported …"#),
    ("{}", "key 'peft_type': … not supported …"),
    (#"{"peft_type": "LORA", "bias": "some"}"#, #"key 'bias': … "some" … not supported …"#),
    (
      #"{"peft_type": "LORA", "r": 2, "lora_alpha": 1}"#,
      "key 'target_modules': … list … missing …"
    ),
    (#"{"peft_type": "LORA", "r": 0}"#, "key 'r': … positive integer …"),
    (#"{"peft_type": "LORA", "r": 2}"#, "key 'lora_alpha': … not a number …"),
    ("[]", "… not an object …"),
  ])
  func `is refused with a wrong configuration`(text: String, reason: String) throws {
    try write(text)
    let text = openMessage()
    #expect(text.says("/adapter_config.json: " + reason), "\(text ?? "")")
  }

  @Test(arguments: [
    (["m.lora_A.weight"], "module 'm': … 'base_model.model.m.lora_B.weight' … missing …"),
    (["m.lora_B.weight"], "module 'm': … 'base_model.model.m.lora_A.weight' … missing …"),
    (["m.lora_embedding_A"], "module 'm': … 'base_model.model.m.lora_embedding_B' … missing …"),
    (
      ["m.lora_A.weight", "m.lora_B.weight", "m.lora_magnitude_vector"],
      "tensor 'base_model.model.m.lora_magnitude_vector': … use_dora … off in … adapter_config.json …"
    ),
    (
      ["n.weight", "n.base_layer.weight"],
      "tensor 'base_model.model.n.base_layer.weight': … second … 'n.weight' …"
    ),
    (
      ["m.lora_A.weight", "m.lora_B.weight", "n.weight"],
      "tensor 'base_model.model.n.weight': … replaces a tensor … only …"
    ),
    ([], "… missing …"),
  ])
  func `is refused with wrong tensors`(names: [String], reason: String) throws {
    try write(configuration(), names: names)
    let text = openMessage()
    #expect(text.says("/adapter_model.safetensors: " + reason), "\(text ?? "")")
  }

  @Test func `is refused when its rank differs`() throws {
    try write(#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "m"}"#)
    let place = "/adapter_model.safetensors: tensor 'base_model.model.m.lora_A.weight': "
    #expect(openMessage().says(place + "… [2, 8] … rank 4 …"))
  }

  @Test func `is refused without its configuration`() {
    #expect(openMessage().says(": 'adapter_config.json' … missing"))
  }

  @Test(arguments: [
    (String(repeating: "m", count: 2049), "more than 2048 bytes"),
    (String(repeating: "(", count: 40) + "m" + String(repeating: ")", count: 40), "is not a regular"),
    ("(?:m{4000}){4000}", "is not a regular"),
  ])
  func `an expression that is too long or too deep is refused`(text: String, reason: String) throws {
    try write(configuration(#""rank_pattern": {"\#(text)": 2}"#))
    #expect(openMessage()?.contains(reason) == true)
  }

  @Test func `expressions that are long together are refused`() throws {
    let patterns = (0..<20).map { #""m{1000}\#($0)?": 2"# }.joined(separator: ", ")
    try write(configuration(#""rank_pattern": {\#(patterns)}"#))
    #expect(openMessage()?.contains("steps together, at most 16384 are supported") == true)
  }

  @Test func `a file in the place of its folder is refused by what is wanted`() throws {
    try write(configuration())
    let error = #expect(throws: FormatError.self) {
      try PeftAdapter.open(folder.path("adapter_model.safetensors"))
    }
    #expect(
      (error?.description).says("… file … folder … 'adapter_config.json' … 'adapter_model.safetensors' …"))
  }

  @Test func `is refused as a pickle`() throws {
    try folder.write("adapter_config.json", configuration())
    try folder.write("adapter_model.bin", "")
    #expect(openMessage().says(": 'adapter_model.bin' … pickle … 'adapter_model.safetensors' …"))
  }

  @Test func `is refused when its groups are not those of the weights`() throws {
    try sample(.pooled).write(to: folder.path)
    let path = "adapter_config.json"
    let text = try String(decoding: folder.read(path), as: UTF8.self)
    try folder.write(path, text.replacing("\"qalora_group_size\": 32", with: "\"qalora_group_size\": 16"))
    #expect(
      message(in: folder) { _ = try Checkpoint.open(path: folder.path) }
        .says("/adapter_model.safetensors: tensor 'a.lora_A.weight': … 16 … 32 …"))
  }

  @Test func `is refused when modules have several alphas`() throws {
    try sample(.pooled).write(to: folder.path)
    let path = "adapter_config.json"
    let text = try String(decoding: folder.read(path), as: UTF8.self)
    try folder.write(path, text.replacing("\"b\": 2", with: "\"b\": 4"))
    #expect(
      message(in: folder) { _ = try PeftAdapter.open(folder.path).parameters() }
        .says("/adapter_config.json: module 'b': alpha 12.0 … 6.0 …"))
  }
}
