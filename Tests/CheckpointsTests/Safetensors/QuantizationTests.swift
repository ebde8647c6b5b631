import Checkpoints
import TestSupport
import Testing

@Suite struct `Quantization of a folder` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Writes module `m`, `[4, 64]` of 2 bits in groups of 32, as U8 zeros of the right size.
  private func write(_ configuration: String, tensors: [TensorInfo]? = nil) throws {
    let tensors = tensors ?? SampleCheckpoint.quantizedTensors("m", out: 4, in: 64, bits: 2, groupSize: 32)
    try SampleCheckpoint(tensors).write(to: folder.path)
    try folder.write("config.json", configuration)
  }

  private func openMessage() -> String? {
    message(in: folder) { _ = try Checkpoint.open(path: folder.path) }
  }

  @Test func `is read from the common packing`() throws {
    try write(#"{"quantization": {"group_size": 32, "bits": 2}}"#)
    #expect(
      try Checkpoint.open(path: folder.path).contents.quantization == [
        "m": QuantizedLayout(bits: 2, groupSize: 32)
      ])
  }

  @Test func `is read from a module's own packing`() throws {
    try write(
      #"{"quantization": {"group_size": 64, "bits": 4, "quant_method": "x", "m": {"group_size": 32, "bits": 2}, "lm_head": false}}"#
    )
    #expect(
      try Checkpoint.open(path: folder.path).contents.quantization == [
        "m": QuantizedLayout(bits: 2, groupSize: 32)
      ])
  }

  @Test func `is none without the key`() throws {
    try write("{}")
    #expect(try Checkpoint.open(path: folder.path).contents.quantization.isEmpty)
  }

  @Test(arguments: [
    ("[]", "key 'quantization': … object"),
    (#"{"bits": 2}"#, "key 'quantization': integer 'group_size' … missing"),
    (#"{"group_size": 32}"#, "key 'quantization': integer 'bits' … missing"),
    (#"{"group_size": 32, "bits": 2, "mode": "mxfp4"}"#, #"key 'quantization': mode … mxfp4 …"#),
    (#"{"m": false}"#, "key 'quantization': … 'm' …"),
    (
      #"{"group_size": 32, "bits": 2, "m": false}"#,
      "key 'quantization': … 'm' …"
    ),
    (#"{"m": {"bits": 2}}"#, "key 'quantization': 'm': integer 'group_size' … missing"),
    (
      #"{"group_size": 32, "bits": 2, "x": {"group_size": 32, "bits": 2}}"#,
      "key 'quantization': 'x': … 'x.scales' … missing"
    ),
  ])
  func `refuses a wrong description`(block: String, reason: String) throws {
    try write(#"{"quantization": \#(block)}"#)
    #expect(openMessage().says("/config.json: " + reason))
  }

  @Test(arguments: [
    ("32", "7", "module 'm' of 7 bits in groups of 32: 7-bit …"),
    ("0", "2", "module 'm' of 2 bits in groups of 0: … 0 columns"),
    ("-32", "2", "module 'm' of 2 bits in groups of -32: … -32 columns"),
    (
      "9223372036854775807", "2",
      "module 'm' of 2 bits in groups of 9223372036854775807: … 9223372036854775807 columns"
    ),
    ("48", "2", "tensor 'm.weight': 4 words … 48 2-bit …"),
    ("64", "2", "tensor 'm.scales' of 2 bits in groups of 64: … [4, 2] … [4, 1]"),
    ("32", "4", "tensor 'm.scales' of 4 bits in groups of 32: … [4, 2] … [4, 1]"),
  ])
  func `refuses numbers that do not fit the tensors`(groupSize: String, bits: String, reason: String) throws {
    try write(#"{"quantization": {"group_size": \#(groupSize), "bits": \#(bits)}}"#)
    #expect(openMessage().says(": " + reason))
  }

  /// Contents with one module `m`, `[4, 64]` of 2 bits in groups of 32, and more tensors.
  private func contents(
    replacing name: String? = nil, with replacement: TensorInfo? = nil, adding more: [TensorInfo] = []
  ) -> CheckpointContents {
    var tensors = SampleCheckpoint.quantizedTensors("m", out: 4, in: 64, bits: 2, groupSize: 32)
    tensors.removeAll { $0.name == name }
    return CheckpointContents(
      tensors: tensors + (replacement.map { [$0] } ?? []) + more,
      quantization: ["m": QuantizedLayout(bits: 2, groupSize: 32)])
  }

  private func problem(_ contents: CheckpointContents) -> String? {
    message(in: folder) { try contents.validateQuantization(path: "c") }
  }

  @Test(
    arguments: [
      ("m.weight", .i32, [4, 4], "tensor 'm.weight': … I32 [4, 4] … U32 … 2 dimensions"),
      ("m.weight", .u32, [4, 2, 2], "tensor 'm.weight': … U32 [4, 2, 2] … U32 … 2 dimensions"),
      (
        "m.biases", .f16, [2, 4],
        "tensor 'm.biases' of 2 bits in groups of 32: … [2, 4] … [4, 2]"
      ),
      ("m.scales", .i8, [4, 2], "tensor 'm.scales': … I8 … F16, BF16 … F32"),
    ] as [(String, DType, [Int], String)])
  func `refuses a tensor of another kind`(name: String, dtype: DType, shape: [Int], reason: String) {
    let tensor = TensorInfo(name: name, dtype: dtype, shape: shape)
    #expect(problem(contents(replacing: name, with: tensor)).says("c: " + reason))
  }

  @Test(arguments: ["m.weight", "m.scales", "m.biases"])
  func `refuses a module that is not whole`(name: String) {
    #expect(problem(contents(replacing: name)).says("c: module 'm': … '\(name)' … missing"))
  }

  @Test(
    arguments: [
      ("m.scales_delta", .f32, [4, 2], nil),
      ("m.biases_delta", .f32, [4, 2], nil),
      ("m.scales_delta", .f16, [4, 2], "tensor 'm.scales_delta': is F16, not F32"),
      ("m.biases_delta", .f32, [4, 1], "tensor 'm.biases_delta': shape is [4, 1], expected [4, 2]"),
      ("x.biases_delta", .f32, [4, 1], "tensor 'x.biases_delta': module 'x' is not quantized"),
    ] as [(String, DType, [Int], String?)])
  func `checks changes of the tables`(name: String, dtype: DType, shape: [Int], reason: String?) {
    let delta = TensorInfo(name: name, dtype: dtype, shape: shape)
    #expect(problem(contents(adding: [delta])) == reason.map { "c: " + $0 })
  }

  private func adapter(_ module: String, _ shapeA: [Int], _ shapeB: [Int]?) -> [TensorInfo] {
    [TensorInfo(name: module + ".lora_A.weight", dtype: .f32, shape: shapeA)]
      + (shapeB.map { [TensorInfo(name: module + ".lora_B.weight", dtype: .f32, shape: $0)] } ?? [])
  }

  @Test(
    arguments: [
      (.dense, "m", [3, 64], [4, 3], nil),
      (.pooled, "m", [3, 2], [4, 3], nil),
      (.dense, "m", [3, 2], [4, 3], "tensor 'm.lora_A.weight': shape is [3, 2], expected [3, 64]"),
      (.pooled, "m", [3, 64], [4, 3], "tensor 'm.lora_A.weight': shape is [3, 64], expected [3, 2]"),
      (.dense, "m", [2, 64], [4, 2], "tensor 'm.lora_A.weight': shape is [2, 64], expected [3, 64]"),
      (.dense, "m", [3, 64], [5, 3], "tensor 'm.lora_B.weight': shape is [5, 3], expected [4, 3]"),
      (.dense, "m", [3, 64], nil, "module 'm': tensor 'm.lora_B.weight' is missing"),
      (.dense, "x", [3, 64], [4, 3], "module 'x': tensor 'x.weight' is missing"),
      (.dense, "head", [3, 7], [9, 3], nil),
      (
        .pooled, "head", [3, 7], [9, 3], "module 'head': has a pooled adapter but is not quantized in groups"
      ),
    ] as [(AdapterParameters.Kind, String, [Int], [Int]?, String?)])
  func `checks adapters`(
    kind: AdapterParameters.Kind, module: String, shapeA: [Int], shapeB: [Int]?, reason: String?
  ) {
    let head = TensorInfo(name: "head.weight", dtype: .bf16, shape: [9, 7])
    var contents = contents(adding: [head] + adapter(module, shapeA, shapeB))
    contents.adapter = AdapterParameters(kind: kind, rank: 3, alpha: 6)
    #expect(problem(contents) == reason.map { "c: " + $0 })
  }

  @Test func `refuses adapter tensors of unknown meaning`() {
    #expect(
      problem(contents(adding: adapter("m", [3, 64], [4, 3]))).says("c: module 'm': … missing"))
  }

  @Test func `refuses an adapter without tensors`() {
    var contents = contents()
    contents.adapter = AdapterParameters(kind: .dense, rank: 3, alpha: 6)
    #expect(problem(contents).says("c: … missing"))
  }
}
