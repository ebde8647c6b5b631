import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct `Reading of integer zero points` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Expects module `m` to be a sample, every weight bit for bit.
  private func expect(
    _ checkpoint: Checkpoint, is sample: IntegerSample, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(
      checkpoint.contents.quantization == [
        "m": QuantizedLayout(bits: sample.bits, groupSize: sample.groupSize)
      ], sourceLocation: sourceLocation)
    let words = try checkpoint.copiedBytes(of: "m.weight")
    #expect(words == sample.codeWords.flatMap(\.littleEndianBytes), sourceLocation: sourceLocation)
    let scales = try Fixtures.floats("m.scales", in: checkpoint)
    let biases = try Fixtures.floats("m.biases", in: checkpoint)
    #expect(scales == sample.scales, sourceLocation: sourceLocation)
    let weights = sample.codes.indices.map { i in
      let group = i / sample.inputCount * sample.groupCount + i % sample.inputCount / sample.groupSize
      let product = scales[group] * Float(sample.codes[i])
      return product + biases[group]
    }
    #expect(weights == sample.weights, sourceLocation: sourceLocation)
  }

  @Test func `reads the worked example of GPTQ`() throws {
    var fixture = QuantizedFixture.gptq(.worked, isSymmetric: true)
    fixture.set(
      "m.qweight", .i32, [2, 32],
      (0..<2).flatMap { word in
        (0..<32).flatMap { _ in [0xfa50_1be4 as UInt32, 0x05af_728d][word].littleEndianBytes }
      })
    fixture.set(
      "m.qzeros", .i32, [1, 2],
      (0x5555_5555 as UInt32).littleEndianBytes + (0x5555_5555 as UInt32).littleEndianBytes)
    let checkpoint = try fixture.open(in: folder)
    try expect(checkpoint, is: .worked)
    #expect(try Fixtures.floats("m.biases", in: checkpoint) == [Float](repeating: -0.125, count: 32))
  }

  @Test func `reads the worked example of compressed-tensors`() throws {
    var fixture = QuantizedFixture.compressedTensors(.worked, isSymmetric: true)
    fixture.set(
      "m.weight_packed", .i32, [32, 2],
      (0..<32).flatMap { _ in
        (0xfa50_1be4 as UInt32).littleEndianBytes + (0x05af_728d as UInt32).littleEndianBytes
      })
    try expect(try fixture.open(in: folder), is: .worked)
  }

  @Test(arguments: [2, 3, 4, 8], [0, 1])
  func `reads GPTQ of either version`(bits: Int, shift: Int) throws {
    let sample = IntegerSample(outputCount: 64, inputCount: 96, bits: bits, seed: UInt64(bits))
    let format = shift == 1 ? "gptq" : "gptq_v2"
    let fixture = QuantizedFixture.gptq(sample, shift: shift, adding: #", "checkpoint_format": "\#(format)""#)
    let checkpoint = try fixture.open(in: folder)
    try expect(checkpoint, is: sample)
    #expect(
      checkpoint.contents.metadata["source_format"]?.compactText
        == #"{"quant_method":"gptq","format":"\#(format)","zero_points":"\#(shift == 1 ? "v1" : "v2")"}"#)
  }

  @Test(arguments: [
    ("auto_round", 0, false), ("auto_round", 0, true), ("auto_round:auto_gptq", 1, true),
    ("auto_round:auto_gptq", 1, false), ("auto_round:gptqmodel", 0, false),
  ])
  func `reads AutoRound`(packing: String, shift: Int, isSymmetric: Bool) throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64, isSymmetric: isSymmetric, seed: 5)
    let fixture = QuantizedFixture.autoRound(sample, packing: packing, shift: shift, isSymmetric: isSymmetric)
    try expect(try fixture.open(in: folder), is: sample)
  }

  @Test(arguments: [2, 3, 4, 8], [false, true])
  func `reads compressed-tensors`(bits: Int, isSymmetric: Bool) throws {
    // An odd number of outputs: the last word of zero points is not full.
    let sample = IntegerSample(
      outputCount: 37, inputCount: 96, bits: bits, isSymmetric: isSymmetric, seed: UInt64(bits))
    let checkpoint = try QuantizedFixture.compressedTensors(sample, isSymmetric: isSymmetric).open(in: folder)
    try expect(checkpoint, is: sample)
  }

  @Test func `reads groups of whole rows`() throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 96, groupSize: 96)
    var fixture = QuantizedFixture.gptq(sample)
    fixture.configuration = fixture.configuration.replacing("\"group_size\": 96", with: "\"group_size\": -1")
    try expect(try fixture.open(in: folder, "a"), is: sample)
    fixture = QuantizedFixture.compressedTensors(sample, isSymmetric: false)
    fixture.configuration = fixture.configuration.replacing(
      "\"group\", \"group_size\": 96", with: "\"channel\", \"group_size\": null")
    try expect(try fixture.open(in: folder, "b"), is: sample)
  }

  @Test func `reads AutoRound's packing of MLX`() throws {
    let tensors = SampleCheckpoint.quantizedTensors("m", out: 4, in: 64, bits: 2, groupSize: 32)
    try SampleCheckpoint(tensors).write(to: folder.path)
    try folder.write(
      "config.json",
      """
      {"quantization_config": {"quant_method": "auto-round", "packing_format": "auto_round:mlx", "bits": 2,
       "group_size": 32, "sym": false}}
      """)
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents.quantization == ["m": QuantizedLayout(bits: 2, groupSize: 32)])
    #expect(Set(checkpoint.contents.tensors.map(\.name)) == ["m.weight", "m.scales", "m.biases"])
  }

  @Test func `reads the file of older tools`() throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64, seed: 9)
    var fixture = QuantizedFixture.gptq(sample)
    fixture.configuration = #"{"model_type": "llama"}"#
    try folder.write("source/quantize_config.json", #"{"bits": 2, "group_size": 32, "sym": false}"#)
    let checkpoint = try fixture.open(in: folder)
    try expect(checkpoint, is: sample)
    #expect(checkpoint.contents.assets.map(\.name) == ["config.json"])
  }

  @Test func `keeps everything else`() throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64)
    var fixture = QuantizedFixture.gptq(sample)
    fixture.set("m.bias", .f16, [32])
    fixture.set("norm.weight", .bf16, [8])
    fixture.configuration = fixture.configuration.replacing("{\"quant", with: "{\"eps\": 1e-05, \"quant")
    let checkpoint = try fixture.open(in: folder)
    let names = Set(checkpoint.contents.tensors.map(\.name))
    #expect(names == ["m.weight", "m.scales", "m.biases", "m.bias", "norm.weight"])
    let configuration = try #require(try checkpoint.copiedAsset(named: "config.json"))
    #expect(configuration == Array("{\n  \"eps\": 1e-05\n}\n".utf8))
  }

  @Test(arguments: [("gptq", 1, "v1"), ("gptq", 0, "v2 (declared v1)"), ("gptq_v2", 1, "v1 (declared v2)")])
  func `finds the version of symmetric zero points`(format: String, shift: Int, found: String) throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 96, bits: 3, isSymmetric: true)
    let fixture = QuantizedFixture.gptq(
      sample, shift: shift, isSymmetric: true, adding: #", "checkpoint_format": "\#(format)""#)
    let checkpoint = try fixture.open(in: folder)
    try expect(checkpoint, is: sample)
    #expect(checkpoint.contents.metadata["source_format"]?["zero_points"]?.string == found)
  }

  @Test func `does not guess the version of asymmetric zero points`() throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64, isSymmetric: true)
    let checkpoint = try QuantizedFixture.gptq(sample, shift: 0, isSymmetric: false).open(in: folder)
    #expect(checkpoint.contents.metadata["source_format"]?["zero_points"]?.string == "v1")
    #expect(try Fixtures.floats("m.biases", in: checkpoint).first == sample.scales[0] * -3)
  }

  @Test(arguments: [
    (#""+:^m$": {"bits": 4}"#, 4), (#""+:.*\\.x": {"bits": 8}, "m": {"bits": 4}"#, 4),
    (#""-:n": {}, "(l|m|n){1,2}": {"bits": 4}, "m": {"bits": 8}"#, 4), (#""[^a-lo]": {"bits": 4}"#, 4),
    (#""+:x?m+$": {"bits": 4}"#, 4), (#""(?:a|b)*": {"bits": 4}"#, 4), (#""\\d": {"bits": 4}"#, 2),
    (#""+:.m": {"bits": 4}"#, 2),
  ])
  func `honours expressions over names`(dynamic: String, bits: Int) throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64, bits: bits)
    var fixture = QuantizedFixture.gptq(sample, adding: #", "dynamic": {\#(dynamic)}"#)
    fixture.configuration = fixture.configuration.replacing(
      "\"bits\": \(bits), \"group", with: "\"bits\": 2, \"group")
    try expect(try fixture.open(in: folder), is: sample)
  }

  @Test func `honours what is said of single modules`() throws {
    let sample = IntegerSample(outputCount: 32, inputCount: 64, bits: 4, seed: 3)
    var fixture = QuantizedFixture.autoRound(
      sample, packing: "auto_round", shift: 0, isSymmetric: false,
      adding:
        #", "extra_config": {".*m.*": {"bits": 8}, "m": {"bits": 4}, "lm_head": {"bits": 16, "data_type": "float"}}"#
    )
    fixture.configuration = fixture.configuration.replacing(
      "\"bits\": 4, \"group", with: "\"bits\": 2, \"group")
    try expect(try fixture.open(in: folder), is: sample)
  }

  /// Codes in bytes, beside what compressed-tensors makes of them in BF16.
  @Test(arguments: [
    ("ct-int8", 8, 96), ("ct-int8-tensor", 8, 96), ("ct-int8-asymmetric", 8, 96), ("ct-int4", 4, 32),
  ])
  func `reads codes in bytes`(layout: String, bits: Int, groupSize: Int) throws {
    let expected = try Checkpoint.open(path: Fixtures.path("scaled/expected.safetensors"))
    let checkpoint = try Checkpoint.open(path: Fixtures.path("scaled/\(layout)"))
    #expect(checkpoint.contents.quantization == ["m": QuantizedLayout(bits: bits, groupSize: groupSize)])
    #expect(checkpoint.contents.tensors.map(\.name) == ["m.weight", "m.scales", "m.biases"])
    let words = try checkpoint.copiedBytes(of: "m.weight")
    var codes = [UInt8](repeating: 0, count: 48 * 96)
    var span = codes.mutableSpan
    TensorBytes(words).withSpan { unpackCodes($0, bits: bits, into: &span) }
    let (scales, biases) = (
      try Fixtures.floats("m.scales", in: checkpoint), try Fixtures.floats("m.biases", in: checkpoint)
    )
    let weights = codes.indices.map { i in scales[i / groupSize] * Float(codes[i]) + biases[i / groupSize] }
    #expect(try narrowed(weights, to: .bf16) == expected.copiedBytes(of: layout))
    let text = try #require(try checkpoint.asset(named: "config.json")).withSpan { $0.copiedBytes() }
    #expect(try JSONValue(parsing: text)["quantization_config"] == nil)
    #expect(checkpoint.contents.metadata["source_format"]?["format"] == .string("int-quantized"))
    let notice = "1 scale of inputs, keys and values left out: rilq does not round them"
    #expect(checkpoint.contents.notices == (layout == "ct-int8-asymmetric" ? [notice] : []))
  }

  @Test func `a matrix of floats beside codes in bytes stays`() throws {
    var fixture = QuantizedFixture.bytes()
    fixture.set("n.weight", .bf16, [2, 32])
    #expect(try fixture.open(in: folder).contents.tensors.map(\.name).contains("n.weight"))
  }

  @Test func `reads AWQ as AutoAWQ does`() throws {
    let expected = try Checkpoint.open(path: Fixtures.path("awq/expected.safetensors"))
    let checkpoint = try Checkpoint.open(path: Fixtures.path("awq/m"))
    #expect(checkpoint.contents.quantization == ["m": QuantizedLayout(bits: 4, groupSize: 32)])
    let words = try checkpoint.copiedBytes(of: "m.weight")
    var codes = [UInt8](repeating: 0, count: 48 * 64)
    var span = codes.mutableSpan
    TensorBytes(words).withSpan { unpackCodes($0, bits: 4, into: &span) }
    let (scales, biases) = (
      try Fixtures.floats("m.scales", in: checkpoint), try Fixtures.floats("m.biases", in: checkpoint)
    )
    let weights = codes.indices.map { scales[$0 / 32] * Float(codes[$0]) + biases[$0 / 32] }
    #expect(try weights == Fixtures.floats("m", in: expected))
    #expect(checkpoint.contents.tensors.map { checkpoint.storedForm(of: $0)?.type } == ["AWQ", "AWQ", "AWQ"])
    #expect(checkpoint.contents.metadata["source_format"]?["format"] == .string("gemm"))
  }

  @Test(arguments: [
    #"{"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": -1, "version": "GEMM"}}"#,
    #"{"quantization_config": {"quant_method": "auto-round", "packing_format": "auto_round:auto_awq", "bits": 4, "group_size": 72, "sym": false}}"#,
    "quant_config.json",
  ])
  func `reads the worked example of AWQ`(configuration: String) throws {
    var fixture = QuantizedFixture.awq
    if configuration.hasPrefix("{") { fixture.configuration = configuration }
    if configuration == "quant_config.json" {
      try folder.write(
        "source/quant_config.json",
        #"{"zero_point": true, "q_group_size": 72, "w_bit": 4, "version": "GEMM"}"#)
      fixture.configuration = "{}"
    }
    let checkpoint = try fixture.open(in: folder)
    let words = try checkpoint.copiedBytes(of: "m.weight")
    // Output 7 has sevens, and so on; there are more outputs than a thread takes.
    #expect(words == (0..<72).flatMap { [UInt8](repeating: UInt8($0 % 8 * 17), count: 36) })
    #expect(try Fixtures.floats("m.scales", in: checkpoint) == [Float](repeating: 0.5, count: 72))
    #expect(
      try Fixtures.floats("m.biases", in: checkpoint) == (0..<72).map { Float($0 % 8) * -0.5 })
    #expect(checkpoint.contents.assets.allSatisfy { $0.name != "quant_config.json" })
  }
}
