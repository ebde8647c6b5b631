import Checkpoints
import Kernels
import TestSupport
import Testing

/// Blocks whose weights are a code times a scale plus a bias, whoever wrote the file.
@Suite struct GGUFCodesTests {
  /// A type with the packing that it is read as.
  struct Packing: Sendable, CustomTestStringConvertible {
    let type: GGUFTensorType
    let layout: QuantizedLayout
    /// The dtype of the last table.
    let tables: DType

    init(_ type: GGUFTensorType, _ layout: QuantizedLayout, _ tables: DType = .f16) {
      (self.type, self.layout, self.tables) = (type, layout, tables)
    }

    var testDescription: String { type.name }
  }

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  static let packings = [
    Packing(.q4_0, .affine(bits: 4, groupSize: 32)), Packing(.q4_1, .affine(bits: 4, groupSize: 32)),
    Packing(.q5_0, .affine(bits: 8, groupSize: 32)), Packing(.q5_1, .affine(bits: 8, groupSize: 32)),
    Packing(.q8_0, .affine(bits: 8, groupSize: 32)), Packing(.q2_0, .affine(bits: 2, groupSize: 64), .f32),
    Packing(.tq2_0, .affine(bits: 2, groupSize: 256), .f32),
    Packing(.q1_0, .affine(bits: 2, groupSize: 128), .f32), Packing(.q2K, .superBlock(.q2K)),
    Packing(.q3K, .superBlock(.q3K)), Packing(.q4K, .superBlock(.q4K)),
    Packing(.q5K, .superBlock(.q5K)), Packing(.q6K, .superBlock(.q6K)),
    Packing(.iq2XS, .superBlock(.iq2XS)), Packing(.iq2S, .superBlock(.iq2S)),
  ]

  /// Finite values whose multiples by 128 are half floats, too.
  private static func data(_ type: GGUFTensorType, count: Int, _ random: inout SplitMix64) -> [UInt8] {
    var data = GGUFModel.data(type, count: count, &random)
    for block in 0..<count {
      for i in type.scaleUpperBytes { data[block * type.blockByteCount + i] &= 0xB7 }
    }
    return data
  }

  private static func model(_ type: GGUFTensorType) -> GGUFModel {
    GGUFModel {
      $0.type = { _ in type }
      $0.change = { file in
        var random = SplitMix64(seed: 30 + UInt64(type.rawValue))
        for i in file.tensors.indices where file.tensors[i].type == type.rawValue {
          let count = file.tensors[i].data.count / type.blockByteCount
          file.tensors[i].data = data(type, count: count, &random)
        }
      }
    }
  }

  @Test(arguments: packings)
  func `every matrix stays packed and has the values of the blocks`(packing: Packing) throws {
    let model = Self.model(packing.type)
    let checkpoint = try model.open(in: folder)
    try checkpoint.contents.validateQuantization(path: "x.gguf")
    #expect(checkpoint.contents.notices.isEmpty)
    #expect(checkpoint.contents.quantization.count == 9)
    for (module, layout) in checkpoint.contents.quantization {
      #expect(layout == packing.layout)
      let table = try #require(layout.partKinds.last)
      #expect(checkpoint.tensor(named: table.name(of: module))?.dtype == packing.tables)
    }
    for (module, expected) in [
      ("model.layers.0.mlp.up_proj", try model.values("blk.0.ffn_up.weight")),
      ("model.layers.0.self_attn.q_proj", model.reordered(try model.values("blk.0.attn_q.weight"), heads: 2)),
      ("model.embed_tokens", try model.values("token_embd.weight")),
      ("lm_head", try model.values("output.weight")),
    ] {
      #expect(try checkpoint.unpackedWeights(of: module) == expected, "\(module)")
    }
  }

  @Test func `a scale whose bias F16 does not hold is refused where it stands`() throws {
    var model = Self.model(.q8_0)
    let change = model.change
    model.change = { file in
      change(&file)
      let i = file.tensors.firstIndex { $0.name == Array("blk.0.ffn_up.weight".utf8) } ?? 0
      // 512 in the first block of the third row, of 8 blocks each: -128 times it is -65536.
      file.tensors[i].data.replaceSubrange(16 * 34..<16 * 34 + 2, with: [0, 0x60])
    }
    let checkpoint = try model.open(in: folder)
    let error = #expect(throws: FormatError.self) {
      try checkpoint.bytes(of: "model.layers.0.mlp.up_proj.biases")
    }
    #expect(error?.place == "tensor 'blk.0.ffn_up.weight'")
    #expect(error?.problem == .malformed("row 2: -65536.0 is not representable in F16"))
  }

  @Test func `a dtype that our own writer states is given back`() throws {
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? .q8_0 : .f16 }
      $0.change = {
        $0.add("rilq.quantization", .string(#"{"dtypes":{"model.layers.0.mlp.up_proj.weight":"BF16"}}"#))
      }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.contents.quantization.isEmpty)
    #expect(checkpoint.contents.notices.isEmpty)
    #expect(checkpoint.tensor(named: "model.layers.0.mlp.up_proj.weight")?.dtype == .bf16)
  }

  /// Writes a checkpoint that was read from a file of `model` as another file.
  private func write(_ checkpoint: Checkpoint, like model: GGUFModel, to name: String) throws -> GGUFExport {
    let hyperparameters = try GGUFExportModel(of: checkpoint, name: "again")
    let plan = try GGUFExportPlan(
      checkpoint.contents, hyperparameters, GGUFSample.vocabulary(count: model.vocabularySize),
      path: "out.gguf")
    let export = try GGUFExport(plan, checkpoint, GGUFExportOptions())
    let writer = try GGUFWriter(export, path: folder.path(name))
    for tensor in export.contents.tensors {
      try checkpoint.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    _ = try writer.finish()
    return export
  }

  @Test(arguments: [GGUFTensorType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2K, .q3K, .q4K, .q5K, .q6K])
  func `a container in between gives the same blocks again`(type: GGUFTensorType) throws {
    let model = Self.model(type)
    let first = try model.open(in: folder)
    var contents = first.contents
    contents.notices = []
    let writer = try ContainerWriter(contents, path: folder.path("x.rilq"))
    for tensor in contents.tensors {
      try first.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    for asset in contents.assets {
      try #require(try first.asset(named: asset.name)).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    let packed = try Checkpoint.open(path: folder.path("x.rilq"))
    #expect(packed.contents.quantization == first.contents.quantization)
    let export = try write(packed, like: model, to: "out.gguf")
    #expect(export.typeCounts.map(\.type) == [type.name, "F32"])
    let bytes = try folder.read("out.gguf")
    let header = try GGUFHeader(of: InputFile(bytes, path: "out.gguf"))
    for entry in header.entries where entry.type == type {
      let tensor = try #require(model.file.tensors.first { $0.name == Array(entry.name.utf8) })
      #expect(Array(bytes[entry.range]) == tensor.data, "\(entry.name)")
    }
    #expect(header.entries.count { $0.type == type } == 9)
  }

  @Test func `8-bit codes above 31 do not become Q5_1`() throws {
    let error = #expect(throws: FormatError.self) { try GGUFSample(bits: 8).write(to: folder) }
    #expect(error?.problem.description.contains("Q8_0 has no biases but -128 * scale") == true)
  }
}

@Suite(.enabled(if: PythonPeer.has("gguf", "numpy"), "no Python with gguf and numpy"))
struct `Packed blocks of Python's gguf` {
  @Test(arguments: [GGUFTensorType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2K, .q3K, .q4K, .q5K, .q6K])
  func `are the floats that it dequantizes`(type: GGUFTensorType) throws {
    let folder = try TemporaryFolder()
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? type : .f16 }
      $0.change = { file in
        // The scales of the first block are 0 and -0.
        let i = file.tensors.firstIndex { $0.type == type.rawValue } ?? 0
        for (place, byte) in type.scaleUpperBytes.enumerated() {
          file.tensors[i].data.replaceSubrange(byte - 1...byte, with: [0, place == 0 ? 0 : 0x80])
        }
      }
    }
    let tensor = try #require(model.file.tensors.first { $0.name == Array("blk.0.ffn_up.weight".utf8) })
    let path = try folder.write("blocks", tensor.data)
    let program = """
      import sys, numpy
      from gguf import GGMLQuantizationType
      from gguf.quants import dequantize
      data = numpy.fromfile(sys.argv[1], dtype=numpy.uint8).reshape(256, -1)
      dequantize(data, GGMLQuantizationType(int(sys.argv[2]))).astype(numpy.float32).tofile(sys.argv[1] + ".values")
      """
    try PythonPeer.run(program, [path, "\(type.rawValue)"])
    let expected = widened(try folder.read("blocks.values"), from: .f32)
    #expect(try model.open(in: folder).unpackedWeights(of: "model.layers.0.mlp.up_proj") == expected)
  }
}
