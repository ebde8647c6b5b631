import Checkpoints
import TestSupport
import Testing

@Suite struct `Safetensors folder writer` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `writes a tiny file byte by byte`() throws {
    var sample = SampleCheckpoint([
      TensorInfo(name: "b", dtype: .u8, shape: [3]), TensorInfo(name: "a", dtype: .f16, shape: [1]),
    ])
    sample.values = ["b": [1, 2, 3], "a": [4, 5]]
    try sample.write(to: folder.path)
    let header =
      #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"#
      + #""b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}}       "#
    #expect(header.utf8.count == 144)
    #expect(
      try folder.read("model.safetensors") == [144, 0, 0, 0, 0, 0, 0, 0] + Array(header.utf8) + [
        4, 5, 1, 2, 3,
      ])
    #expect(try folder.names() == ["model.safetensors"])
  }

  @Test func `reads back every dtype and shape`() throws {
    var random = SplitMix64(seed: 20)
    let tensors = DType.allCases.flatMap { dtype in
      (0..<4).map { i in
        // A last dimension of 4 keeps the dtypes below a byte whole.
        let shape = (0..<i).map { _ in Int.random(in: 0...3, using: &random) } + [4]
        return TensorInfo(name: "t\(i).\(dtype)", dtype: dtype, shape: shape)
      }
    }
    let sample = SampleCheckpoint(tensors.shuffled(using: &random), seed: 21)
    try sample.write(to: folder.path)
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents.sortedTensors == sample.contents.sortedTensors)
    for (name, bytes) in sample.values { #expect(try checkpoint.bytes(of: name).array == bytes) }
  }

  @Test func `writes a checkpoint without tensors`() throws {
    try SampleCheckpoint([]).write(to: folder.path)
    #expect(try Checkpoint.open(path: folder.path).contents == CheckpointContents(tensors: []))
  }

  @Test func `splits into shards with an index`() throws {
    let sample = SampleCheckpoint((0..<5).map { TensorInfo(name: "t\($0)", dtype: .u8, shape: [10]) })
    try sample.write(to: folder.path, shardByteLimit: 20)
    #expect(
      try folder.names() == [
        "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
      ])
    let index = try JSONValue(contentsOf: folder.path("model.safetensors.index.json"))
    #expect(index["metadata"]?["total_size"]?.integer == 50)
    #expect(index["weight_map"]?["t2"]?.string == "model-00002-of-00003.safetensors")
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents == sample.contents)
    #expect(try checkpoint.bytes(of: "t4").array == sample.values["t4"])
  }

  @Test func `gives a tensor above the limit a shard of its own`() throws {
    let sizes = [5, 50, 5]
    let sample = SampleCheckpoint(
      sizes.enumerated().map { TensorInfo(name: "t\($0)", dtype: .u8, shape: [$1]) })
    try sample.write(to: folder.path, shardByteLimit: 20)
    #expect(try Checkpoint.open(path: folder.path).contents == sample.contents)
    #expect(try folder.names().count == 4)
  }

  @Test func `returns the bytes of all files`() throws {
    var sample = SampleCheckpoint.quantized()
    sample.setAsset("a/b.txt", "text")
    let count = try sample.write(to: folder.path, shardByteLimit: 100)
    let files = try folder.names().filter { $0 != "a" } + ["a/b.txt"]
    #expect(try count == files.reduce(0) { try $0 + folder.read($1).count })
  }

  @Test func `copies assets byte for byte`() throws {
    var sample = SampleCheckpoint([])
    sample.setAsset("config.json", #"{ "quantization_config" : {"quant_method":"x"}, "e":1.0e-5 }"#)
    sample.setAsset("chat/template.jinja", "{{ x }}\r\n")
    try sample.write(to: folder.path)
    #expect(try folder.read("config.json") == Array((sample.assetTexts["config.json"] ?? "").utf8))
    #expect(try folder.read("chat/template.jinja") == Array("{{ x }}\r\n".utf8))
  }

  @Test func `describes the quantization as MLX does`() throws {
    var sample = SampleCheckpoint.quantized()
    sample.add(SampleCheckpoint.quantizedTensors("c", out: 1, in: 32, bits: 2, groupSize: 32))
    sample.contents.quantization["c"] = QuantizedLayout(bits: 2, groupSize: 32)
    try sample.write(to: folder.path)
    let block = """
      {
          "group_size": 32,
          "bits": 2,
          "mode": "affine",
          "b": {
            "group_size": 64,
            "bits": 4,
            "mode": "affine"
          }
        }
      """
    #expect(
      try String(decoding: folder.read("config.json"), as: UTF8.self) == """
        {
          "model_type": "llama",
          "eps": 1e-05,
          "quantization": \(block),
          "quantization_config": \(block)
        }

        """)
    let header = try SafetensorsFile(path: folder.path("model.safetensors")).header
    #expect(header.metadata == ["format": "mlx"])
  }

  @Test func `reads back a quantized checkpoint with its provenance`() throws {
    var sample = SampleCheckpoint.quantized()
    sample.contents.metadata = .object([.init("recipe", .object([.init("seed", .number("1.50"))]))])
    try sample.write(to: folder.path)
    let contents = try Checkpoint.open(path: folder.path).contents
    #expect(contents.sortedTensors == sample.contents.sortedTensors)
    #expect(contents.quantization == sample.contents.quantization)
    #expect(contents.metadata == sample.contents.metadata)
    #expect(contents.assets.map(\.name) == ["config.json"])
  }

  @Test func `writes the same bytes when it is read and written again`() throws {
    try SampleCheckpoint.quantized().write(to: folder.path("1"))
    let checkpoint = try Checkpoint.open(path: folder.path("1"))
    let writer = try SafetensorsFolderWriter(checkpoint.contents, folder: folder.path("2"))
    for tensor in checkpoint.contents.tensors {
      try checkpoint.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    for asset in checkpoint.contents.assets {
      try checkpoint.asset(named: asset.name)?.withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    for name in ["config.json", "model.safetensors"] {
      #expect(try folder.read("1/" + name) == folder.read("2/" + name))
    }
  }

  @Test func `removes what is said about quantization when nothing is quantized`() throws {
    var sample = SampleCheckpoint([TensorInfo(name: "a.weight", dtype: .f32, shape: [1])])
    sample.setAsset(
      "config.json", #"{"a": 1, "quantization": {"bits": 2}, "quantization_config": {"bits": 2}}"#)
    try sample.write(to: folder.path)
    #expect(try JSONValue(contentsOf: folder.path("config.json")) == .object([.init("a", .number("1"))]))
  }

  @Test func `refuses quantized modules without a configuration`() {
    var sample = SampleCheckpoint.quantized()
    sample.contents.assets = []
    #expect(
      message(in: folder) { try sample.write(to: folder.path) }.says(": 'config.json' … quantized … missing"))
  }

  @Test(arguments: [
    ("../x", "… path inside …"), ("/x", "… path inside …"),
    ("a//b", "… path inside …"), ("", "… path inside …"),
    ("a/./b", "… path inside …"),
    ("rilq.json", "… name … taken …"),
    ("model.safetensors", "… name … taken …"),
  ])
  func `refuses an asset that may not be written`(name: String, reason: String) {
    var sample = SampleCheckpoint([])
    sample.setAsset(name, "")
    #expect(message(in: folder) { try sample.write(to: folder.path) }.says(": asset '\(name)': " + reason))
  }

  @Test func `refuses contents that disagree`() {
    var sample = SampleCheckpoint.quantized()
    sample.contents.quantization["a"] = .affine(bits: 2, groupSize: 64)
    #expect(
      message(in: folder) { try sample.write(to: folder.path) }.says(
        ": tensor 'a.scales' of 2 bits in groups of 64: … [8, 2] … [8, 1]"))
  }

  @Test func `reports what the system refuses`() throws {
    let sample = SampleCheckpoint([TensorInfo(name: "a", dtype: .u8, shape: [1])])
    try folder.write("model.safetensors/x", "")
    #expect(message(in: folder) { try sample.write(to: folder.path) }.says("/model.safetensors: … directory"))
  }
}
