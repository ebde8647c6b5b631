import Checkpoints
import TestSupport
import Testing

@Suite struct MLXFolderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ sample: SampleCheckpoint, shardByteLimit: Int = 1 << 30) throws {
    let writer = try SafetensorsFolderWriter(
      sample.contents, folder: folder.path("out"), shardByteLimit: shardByteLimit, isForMLX: true)
    for tensor in sample.contents.tensors {
      try TensorBytes(sample.values[tensor.name] ?? []).withSpan { try writer.write(tensor, $0) }
    }
    for asset in sample.contents.assets {
      try TensorBytes(Array((sample.assetTexts[asset.name] ?? "").utf8)).withSpan {
        try writer.write(asset, $0)
      }
    }
    _ = try writer.finish()
  }

  @Test func `the header and the configuration are those of the document`() throws {
    var sample = SampleCheckpoint(
      SampleCheckpoint.quantizedTensors("lm_head", out: 1, in: 32, bits: 2, groupSize: 32))
    sample.contents.quantization = ["lm_head": QuantizedLayout(bits: 2, groupSize: 32)]
    sample.setAsset(
      "config.json",
      #"{"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "quantization": {"origin": "x"}}"#)
    try write(sample)
    let file = try folder.read("out/model.safetensors")
    let header =
      #"{"__metadata__":{"format":"mlx"},"lm_head.weight":{"dtype":"U32","shape":[1,2],"data_offsets":[0,8]},"#
      + #""lm_head.biases":{"dtype":"F16","shape":[1,1],"data_offsets":[8,10]},"#
      + #""lm_head.scales":{"dtype":"F16","shape":[1,1],"data_offsets":[10,12]}}"#
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    #expect(
      file == [UInt8(padded.utf8.count & 255), UInt8(padded.utf8.count >> 8), 0, 0, 0, 0, 0, 0]
        + Array(padded.utf8)
        + ["lm_head.weight", "lm_head.biases", "lm_head.scales"].flatMap { sample.values[$0] ?? [] })
    #expect(
      try JSONValue(contentsOf: folder.path("out/config.json")).compactText
        == #"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"},"#
        + #""quantization":{"group_size":32,"bits":2,"mode":"affine"},"#
        + #""model_type":"llama","rms_norm_eps":1e-06,"tie_word_embeddings":false,"rope_theta":5e5,"#
        + #""quantization_config":{"group_size":32,"bits":2,"mode":"affine"}}"#)
  }

  @Test func `what the configuration says already stays`() throws {
    var sample = SampleCheckpoint.quantized()
    let text =
      #"{"model_type":"mistral","rms_norm_eps":1e-05,"rope_theta":7,"rope_parameters":{"rope_theta":5,"rope_type":"llama3"}}"#
    sample.setAsset("config.json", text)
    try write(sample)
    let written = try JSONValue(contentsOf: folder.path("out/config.json"))
    #expect(written["model_type"]?.string == "mistral")
    #expect(written["rope_theta"]?.integer == 7)
    #expect(written["rope_scaling"] == written["rope_parameters"])
    #expect(written["tie_word_embeddings"] == nil)
  }

  @Test func `the index states sizes and parameters`() throws {
    try write(SampleCheckpoint.quantized(), shardByteLimit: 100)
    let metadata = try JSONValue(contentsOf: folder.path("out/model.safetensors.index.json"))["metadata"]
    // 8 * 64 and 4 * 128 weights, and a norm of 3.
    #expect(metadata?.compactText == #"{"total_size":486,"total_parameters":1027}"#)
  }

  @Test func `refuses groups that MLX does not have`() throws {
    var sample = SampleCheckpoint(
      SampleCheckpoint.quantizedTensors("a", out: 2, in: 64, bits: 2, groupSize: 16))
    sample.contents.quantization = ["a": QuantizedLayout(bits: 2, groupSize: 16)]
    sample.setAsset("config.json", "{}")
    #expect(
      throws: FormatError(
        folder.path("out"), at: "module 'a'",
        .notExact("MLX has groups of 32, 64 and 128 columns, not of 16"))
    ) { try write(sample) }
    #expect(try folder.names() == [])
  }

  @Test func `refuses trained changes beside the tables`() throws {
    var sample = SampleCheckpoint.quantized()
    sample.add([TensorInfo(name: "a.scales_delta", dtype: .f32, shape: [8, 2])])
    let error = #expect(throws: FormatError.self) { try write(sample) }
    #expect(error?.place == "tensor 'a.scales_delta'")
  }
}

@Suite(.enabled(if: PythonPeer.has("mlx.core", "numpy"), "skipped: no Python with mlx and numpy"))
struct MLXPeerTests {
  @Test(arguments: [DType.f32, .f16, .bf16], [2, 3, 4, 8])
  func `MLX dequantizes to our weights`(tables: DType, bits: Int) throws {
    let folder = try TemporaryFolder()
    try GGUFSample(bits: bits, groupSize: 32, tables: tables).checkpoint().write(to: folder.path("model"))
    let result = try PythonPeer.runScript("check-mlx.py", folder.path("model"))
    #expect(result.text == "7 modules equal\n")
  }
}
