import Checkpoints
import TestSupport
import Testing

@Suite struct `Writing of integer zero points` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The tensors of a written folder as they are in the file.
  private func stored(_ name: String) throws -> [String: [UInt8]] {
    let file = try SafetensorsFile(path: folder.path(name + "/model.safetensors"))
    return Dictionary(
      uniqueKeysWithValues: try file.header.entries.map {
        ("\($0.tensor.name) \($0.tensor.dtype.rawValue) \($0.tensor.shape)", try file.bytes(of: $0).array)
      })
  }

  @Test func `writes the worked example`() throws {
    let source = try QuantizedFixture.gptq(.worked, isSymmetric: true).open(in: folder)
    try source.write(.gptq, to: folder.path("v1"))
    try source.write(.gptqV2, to: folder.path("v2"))
    let words = (0..<2).flatMap { word in
      (0..<32).flatMap { _ in [0xfa50_1be4 as UInt32, 0x05af_728d][word].littleEndianBytes }
    }
    #expect(try stored("v1")["m.qweight I32 [2, 32]"] == words)
    #expect(try stored("v1")["m.qzeros I32 [1, 2]"] == [UInt8](repeating: 0x55, count: 8))
    #expect(try stored("v2")["m.qzeros I32 [1, 2]"] == [UInt8](repeating: 0xaa, count: 8))
    #expect(try stored("v1")["m.g_idx I32 [32]"] == [UInt8](repeating: 0, count: 128))
    // 0.0625 in half precision.
    #expect(try stored("v1")["m.scales F16 [1, 32]"] == (0..<32).flatMap { _ in [0x00, 0x2c] as [UInt8] })
    try source.write(.compressedTensors, to: folder.path("ct"))
    let rows = (0..<32).flatMap { _ in
      (0xfa50_1be4 as UInt32).littleEndianBytes + (0x05af_728d as UInt32).littleEndianBytes
    }
    #expect(try stored("ct")["m.weight_packed I32 [32, 2]"] == rows)
    #expect(try stored("ct").count == 3)
  }

  @Test(arguments: [2, 3, 4, 8], [IntegerFormat.gptq, .gptqV2, .autoRound, .compressedTensors])
  func `gives back what was read`(bits: Int, format: IntegerFormat) throws {
    for (seed, isSymmetric) in [(1 as UInt64, false), (2, true), (3, false)] {
      var random = SplitMix64(seed: seed &* 100 &+ UInt64(bits))
      let groupSize = [32, 64, 96].randomElement(using: &random) ?? 32
      let sample = IntegerSample(
        outputCount: 32 * Int.random(in: 1...4, using: &random),
        inputCount: groupSize * Int.random(in: 1...3, using: &random), bits: bits, groupSize: groupSize,
        isSymmetric: isSymmetric, seed: seed)
      let fixture: QuantizedFixture
      switch format {
      case .gptq: fixture = .gptq(sample, isSymmetric: isSymmetric)
      case .gptqV2:
        fixture = .gptq(sample, shift: 0, isSymmetric: isSymmetric, adding: #", "format": "gptq_v2""#)
      case .autoRound:
        fixture = .autoRound(
          sample, packing: isSymmetric ? "auto_round:auto_gptq" : "auto_round", shift: isSymmetric ? 1 : 0,
          isSymmetric: isSymmetric)
      case .compressedTensors: fixture = .compressedTensors(sample, isSymmetric: isSymmetric)
      }
      let source = try fixture.open(in: folder, "source-\(seed)")
      let container = try source.copy(to: folder.path("\(seed).rilq"))
      let report = try container.write(format, to: folder.path("again-\(seed)"))
      #expect(report["exact"]?.bool == true)
      #expect(try stored("again-\(seed)") == stored("source-\(seed)"), "seed \(seed)")
      let again = try Checkpoint.open(path: folder.path("again-\(seed)"))
      #expect(again.contents.quantization == source.contents.quantization)
      #expect(try again.copiedBytes(of: "m.biases") == source.copiedBytes(of: "m.biases"))
    }
  }

  @Test func `writes the configuration of GPTQ`() throws {
    var fixture = QuantizedFixture.gptq(IntegerSample(outputCount: 32, inputCount: 64))
    fixture.tensors += IntegerSample(outputCount: 32, inputCount: 64, bits: 4).gptq("a.b", shift: 1)
    fixture.set("n.weight", .f16, [4, 4])
    fixture.configuration = fixture.configuration.replacing(
      "\"desc_act\"", with: #""dynamic": {"a": {"bits": 4}}, "desc_act""#)
    try fixture.open(in: folder).write(.gptqV2, to: folder.path("out"))
    let text = String(decoding: try folder.read("out/quantize_config.json"), as: UTF8.self)
    #expect(
      text == """
        {
          "bits": 2,
          "group_size": 32,
          "sym": false,
          "desc_act": false,
          "lm_head": false,
          "quant_method": "gptq",
          "method": "gptq",
          "format": "gptq_v2",
          "checkpoint_format": "gptq_v2",
          "pack_dtype": "int32",
          "dynamic": {
            "+:^a\\\\.b$": {
              "bits": 4,
              "group_size": 32,
              "sym": false
            },
            "-:^n$": {}
          }
        }

        """)
    let configuration = try JSONValue(parsing: folder.read("out/config.json"))
    #expect(try configuration["quantization_config"] == JSONValue(parsing: Array(text.utf8)))
    let again = try Checkpoint.open(path: folder.path("out"))
    #expect(again.contents.quantization["a.b"]?.bits == 4)
  }

  @Test func `writes the configuration of compressed-tensors`() throws {
    var fixture = QuantizedFixture.compressedTensors(
      IntegerSample(outputCount: 32, inputCount: 64), isSymmetric: false)
    fixture.set("n.weight", .bf16, [4, 4])
    try fixture.open(in: folder).write(.compressedTensors, to: folder.path("out"))
    let configuration = try JSONValue(parsing: folder.read("out/config.json"))
    #expect(
      configuration.compactText
        == #"{"quantization_config":{"quant_method":"compressed-tensors","format":"pack-quantized","#
        + #""quantization_status":"compressed","config_groups":{"group_0":{"targets":["Linear"],"weights":"#
        + #"{"num_bits":2,"type":"int","symmetric":false,"strategy":"group","group_size":32,"dynamic":false,"#
        + #""actorder":null,"block_structure":null},"input_activations":null,"output_activations":null}},"#
        + #""ignore":["lm_head","n"],"kv_cache_scheme":null,"global_compression_ratio":null}}"#)
  }

  @Test func `leaves no foreign configuration in a folder of its own kind`() throws {
    let source = try QuantizedFixture.gptq(IntegerSample(outputCount: 32, inputCount: 64)).open(in: folder)
    let writer = try SafetensorsFolderWriter(source.contents, folder: folder.path("own"))
    for tensor in source.contents.tensors {
      try source.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    for asset in source.contents.assets {
      try source.asset(named: asset.name)?.withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    let text = String(decoding: try folder.read("own/config.json"), as: UTF8.self)
    #expect(!text.contains("gptq"))
    #expect(text.contains("\"mode\": \"affine\""))
    #expect(
      try Checkpoint.open(path: folder.path("own")).contents.quantization == source.contents.quantization)
  }

  /// A checkpoint with module `m` of tables that are given for every group.
  private func tables(scale: Float, bias: Float, outputCount: Int = 32) throws -> Checkpoint {
    let source = try QuantizedFixture.compressedTensors(
      IntegerSample(outputCount: outputCount, inputCount: 64), isSymmetric: true
    ).open(in: folder)
    return try source.copy(to: folder.path("tables.rilq")) { name, values in
      if name == "m.scales" { values = values.map { _ in scale } }
      if name == "m.biases" { values = values.map { _ in bias } }
    }
  }

  @Test(
    arguments: [
      (.gptq, 0.5, 0, "zero point 0 is not in 1...3"),
      (.gptqV2, 0.5, 0, nil),
      (.gptqV2, 0.5, -1.25, "bias -1.25 is not scale 0.5 times a zero point in 0...3"),
      (.gptqV2, 0.5, 0.5, "zero point -1 is not in 0...3"),
      (.gptqV2, 0.1, -0.1, "scale 0.1 is 0.099975586 in F16"),
      (.autoRound, 1e6, -1e6, "scale 1000000.0 is inf in F16"),
      (.compressedTensors, 0.1, -0.1, "3 times scale 0.1 rounds in F32"),
      (.compressedTensors, 0x1.001p0, -0x1.001p0, nil),
      (.compressedTensors, 0.1, -0.15, "bias -0.15 is not scale 0.1 times a zero point in 0...3"),
      (.gptq, 0, 0, nil),
      (.gptq, 0, 1, "scale 0 with bias 1.0 has no zero point"),
      (.gptqV2, -0.5, 0.5, nil),
    ] as [(IntegerFormat, Float, Float, String?)])
  func `refuses what is not exact`(format: IntegerFormat, scale: Float, bias: Float, reason: String?) throws {
    let checkpoint = try tables(scale: scale, bias: bias)
    let found = message(in: folder) { try checkpoint.write(format, to: folder.path("out")) }
    #expect(
      found
        == reason.map {
          "/out: tensor 'm.biases': row 0, group 0: \($0), so \(format.rawValue) does not hold it exactly; --lossy "
            + "writes the nearest, and 'rilq quantize --grid zero_point' makes tables that it holds"
        })
    #expect(try folder.names().contains("out") == (reason == nil))
  }

  @Test func `writes the nearest when that is allowed`() throws {
    let checkpoint = try tables(scale: 0.5, bias: -1.25)
    let report = try checkpoint.write(.gptqV2, to: folder.path("out"), allowsLoss: true)
    #expect(report["exact"]?.bool == false)
    let loss = try #require(report["losses"]?.array?.first)
    #expect(loss["module"]?.string == "m")
    let largest = try #require(loss["largest_error"]?.double)
    let mean = try #require(loss["mean_error"]?.double)
    // Half a zero point away: no level is off by more than half a step.
    #expect(largest > 0 && largest <= 0.25 && mean > 0 && mean <= largest)
    let again = try Checkpoint.open(path: folder.path("out"))
    #expect(try again.copiedBytes(of: "m.weight") == checkpoint.copiedBytes(of: "m.weight"))
  }

  @Test(
    arguments: [
      (.gptqV2, 1e6, -1e6), (.compressedTensors, 0.1, -0.25), (.gptq, 0, 1), (.gptq, 0.25, 3),
    ] as [(IntegerFormat, Float, Float)])
  func `writes the nearest so that it is read again`(format: IntegerFormat, scale: Float, bias: Float) throws
  {
    try tables(scale: scale, bias: bias).write(format, to: folder.path("out"), allowsLoss: true)
    let again = try Checkpoint.open(path: folder.path("out"))
    #expect(try again.write(format, to: folder.path("twice"))["exact"]?.bool == true)
    #expect(try stored("twice") == stored("out"))
  }

  @Test(arguments: [IntegerFormat.gptq, .gptqV2, .autoRound])
  func `refuses outputs that are no multiple of 32`(format: IntegerFormat) throws {
    let checkpoint = try tables(scale: 0.5, bias: -1, outputCount: 48)
    #expect(
      message(in: folder) { try checkpoint.write(format, to: folder.path("out"), allowsLoss: true) }.says(
        "/out: tensor 'm.weight': 48 outputs … 32 … \(format.rawValue) needs"))
  }

  @Test(arguments: [IntegerFormat.gptq, .gptqV2, .autoRound])
  func `refuses a quantized embedding`(format: IntegerFormat) throws {
    let prefix = "model.embed_tokens"
    var sample = SampleCheckpoint(
      SampleCheckpoint.quantizedTensors(prefix, out: 32, in: 64, bits: 2, groupSize: 32))
    sample.contents.quantization[prefix] = .affine(bits: 2, groupSize: 32)
    sample.setAsset("config.json", "{}")
    try sample.write(to: folder.path("source"))
    let checkpoint = try Checkpoint.open(path: folder.path("source"))
    let error = #expect(throws: FormatError.self) {
      try checkpoint.write(format, to: folder.path("out"), allowsLoss: true)
    }
    #expect(error?.place == "module '\(prefix)'")
    guard case .notExact = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try folder.names() == ["source"])
  }

  @Test func `refuses a checkpoint that is not quantized`() throws {
    try SampleCheckpoint([TensorInfo(name: "n.weight", dtype: .f16, shape: [2])]).write(
      to: folder.path("dense"))
    let checkpoint = try Checkpoint.open(path: folder.path("dense"))
    #expect(
      message(in: folder) { try checkpoint.write(.gptq, to: folder.path("out")) }.says(
        "/out: … quantized … needs"))
  }
}
