import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

struct GGUFCheckpointTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `the file of llama.cpp's layout holds the checkpoint it was made from`() throws {
    let path = Fixtures.path("gguf/tiny-llama.gguf")
    let checkpoint = try Checkpoint.open(path: path)
    let original = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    #expect(checkpoint.format == .gguf)
    #expect(try checkpoint.files.map(\.path) == [path])
    #expect(Set(checkpoint.contents.tensors.map(\.name)) == Set(original.contents.tensors.map(\.name)))
    for tensor in original.contents.tensors {
      #expect(checkpoint.tensor(named: tensor.name) == tensor)
      #expect(try checkpoint.copiedBytes(of: tensor.name) == original.copiedBytes(of: tensor.name))
    }
  }

  @Test func `is known by its first bytes`() throws {
    let path = try folder.write("model.safetensors", GGUFModel().file.bytes)
    #expect(try Checkpoint.open(path: path).format == .gguf)
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func `gives back models of random shapes`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let type = [GGUFTensorType.f32, .f16, .bf16].randomElement(using: &random) ?? .f32
    let model = GGUFModel {
      $0.keyValueHeadCount = Int.random(in: 1...3, using: &random)
      $0.headCount = $0.keyValueHeadCount * Int.random(in: 1...3, using: &random)
      $0.hiddenSize = $0.headCount * 2 * Int.random(in: 1...5, using: &random)
      $0.feedForwardSize = Int.random(in: 1...20, using: &random)
      $0.layerCount = Int.random(in: 1...3, using: &random)
      $0.vocabularySize = Int.random(in: 1...9, using: &random)
      $0.seed = seed
      $0.type = { _ in type }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.contents.tensors.count == 9 * model.layerCount + 3)
    #expect(checkpoint.contents.tensors.allSatisfy { $0.dtype.rawValue == type.name })
    for layer in 0..<model.layerCount {
      let (from, to) = ("blk.\(layer).", "model.layers.\(layer).")
      let plain = [
        ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"), ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"), ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
      ]
      for (name, module) in plain {
        #expect(
          try Fixtures.floats("\(to)\(module).weight", in: checkpoint)
            == model.values("\(from)\(name).weight"))
      }
      for (name, module, heads) in [
        ("attn_q", "q_proj", model.headCount), ("attn_k", "k_proj", model.keyValueHeadCount),
      ] {
        let expected = model.reordered(try model.values("\(from)\(name).weight"), heads: heads)
        #expect(try Fixtures.floats("\(to)self_attn.\(module).weight", in: checkpoint) == expected)
      }
    }
    #expect(try Fixtures.floats("lm_head.weight", in: checkpoint) == model.values("output.weight"))
  }

  @Test func `rounds the values of other blocks to BF16 and says so`() throws {
    let type = GGUFTensorType.tq1_0
    let model = GGUFModel { $0.type = { $0 == "token_embd.weight" ? .f16 : type } }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.contents.quantization.isEmpty)
    let name = "model.layers.0.mlp.up_proj.weight"
    #expect(checkpoint.tensor(named: name)?.dtype == .bf16)
    let expected = narrowed(try model.values("blk.0.ffn_up.weight"), to: .bf16)
    #expect(try checkpoint.copiedBytes(of: name) == expected)
    #expect(checkpoint.contents.notices == ["\(type.name): 8 tensors rounded to BF16"])
  }

  @Test(arguments: [GGUFTensorType.q1_0, .q2_0, .tq2_0])
  func `keeps codes of one and two bits`(type: GGUFTensorType) throws {
    let model = GGUFModel { $0.type = { $0.hasPrefix("blk") ? type : .bf16 } }
    let checkpoint = try model.open(in: folder)
    try checkpoint.contents.validateQuantization(path: "x.gguf")
    #expect(checkpoint.contents.quantization.count == 7)
    let expected = QuantizedLayout(bits: 2, groupSize: type.blockElementCount)
    #expect(checkpoint.contents.quantization.values.allSatisfy { $0 == expected })
    #expect(checkpoint.tensor(named: "model.layers.0.mlp.up_proj.scales")?.dtype == .f32)
    #expect(
      try checkpoint.unpackedWeights(of: "model.layers.0.mlp.up_proj") == model.values("blk.0.ffn_up.weight"))
    let queries = model.reordered(try model.values("blk.0.attn_q.weight"), heads: 2)
    #expect(try checkpoint.unpackedWeights(of: "model.layers.0.self_attn.q_proj") == queries)
  }

  @Test func `a file is what its first bytes say, not its name`() throws {
    let path = try folder.write("x.rilq", GGUFModel().file.bytes)
    #expect(try Checkpoint.open(path: path).format == .gguf)
  }

  @Test func `vectors stay F32 when 16 bits do not hold them`() throws {
    let model = GGUFModel {
      $0.type = { _ in .bf16 }
      $0.change = { $0.tensors[1].data.replaceSubrange(0..<4, with: GGUFBytes.number(Float(0.1).bitPattern)) }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.tensor(named: "model.norm.weight")?.dtype == .f32)
    #expect(try Fixtures.floats("model.layers.0.input_layernorm.weight", in: checkpoint)[0] == 0.1)
  }

  @Test func `metadata that becomes nothing else is kept`() throws {
    let model = GGUFModel {
      $0.change = { $0.add("general.tags", .array(elementType: .string, [.string("a")])) }
    }
    let metadata = try model.open(in: folder).contents.metadata
    #expect(
      metadata.compactText
        == #"{"general.architecture":"llama","general.name":"a small one","general.tags":["a"]}"#)
  }

  @Test func `our own metadata comes back`() throws {
    let model = GGUFModel { $0.change = { $0.add("rilq.metadata", .string(#"{"a": [1.50, null]}"#)) } }
    #expect(try model.open(in: folder).contents.metadata.compactText == #"{"a":[1.50,null]}"#)
  }
}
