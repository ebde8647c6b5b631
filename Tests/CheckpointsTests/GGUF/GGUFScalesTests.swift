import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct `Scales beside NVFP4 tensors` {
  private static let matrix = "blk.0.ffn_down.weight"
  private static let module = "model.layers.0.mlp.down_proj"
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A model with one matrix in NVFP4 and F32 tensors beside it.
  private static func model(_ tensors: [(name: String, values: [Float])]) -> GGUFModel {
    GGUFModel {
      $0.type = { $0 == Self.matrix ? .nvfp4 : .f16 }
      $0.change = { file in
        for (name, values) in tensors {
          file.tensors.append(
            .init(
              name, [UInt64(values.count)], type: GGUFTensorType.f32.rawValue, narrowed(values, to: .f32)))
        }
      }
    }
  }

  private func problem(_ model: GGUFModel) -> String? {
    do {
      _ = try model.open(in: folder)
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [1, 0.25, 0.3, -3] as [Float])
  func `multiply the values`(factor: Float) throws {
    let model = Self.model(factor == 1 ? [] : [("blk.0.ffn_down.scale", [factor])])
    let checkpoint = try model.open(in: folder)
    let expected = narrowed(try model.values(Self.matrix).map { $0 * factor }, to: .bf16)
    let tensor = try #require(checkpoint.contents.tensors.first { $0.name == Self.module + ".weight" })
    #expect(tensor.dtype == .bf16)
    #expect(try checkpoint.copiedBytes(of: tensor.name) == expected)
    #expect(checkpoint.storedForm(of: tensor)?.type == "NVFP4")
    let isExact = factor == 1 || factor == 0.25
    #expect(checkpoint.contents.notices == (isExact ? [] : ["NVFP4: 1 tensor rounded to BF16"]))
    // The scale is no vector of the model, so that it does not decide about the dtype of those.
    let norm = try #require(checkpoint.contents.tensors.first { $0.name == "model.norm.weight" })
    #expect(norm.dtype == .f16)
  }

  @Test func `of experts multiply those of one expert each`() throws {
    var model = Self.model([("blk.0.ffn_down_exps.scale", [0.5, 3])])
    let change = model.change
    model.change = { file in
      file.add("llama.expert_count", .uint32(2))
      file.add("llama.expert_used_count", .uint32(1))
      let dense = ["gate", "up", "down"].map { Array("blk.0.ffn_\($0).weight".utf8) }
      file.tensors.removeAll { dense.contains($0.name) }
      var random = SplitMix64(seed: 2)
      func add(_ name: String, _ type: GGUFTensorType, _ dimensions: [UInt64]) {
        let count = Int(dimensions.reduce(1, *)) / type.blockElementCount
        file.tensors.append(
          .init("blk.0." + name, dimensions, type: type.rawValue, GGUFModel.data(type, count: count, &random))
        )
      }
      add("ffn_gate_inp.weight", .f32, [256, 2])
      for name in ["gate", "up"] { add("ffn_\(name)_exps.weight", .f16, [256, 256, 2]) }
      add("ffn_down_exps.weight", .nvfp4, [256, 256, 2])
      change(&file)
    }
    let checkpoint = try model.open(in: folder)
    let values = try model.values("blk.0.ffn_down_exps.weight")
    for (expert, factor) in ([0.5, 3] as [Float]).enumerated() {
      let stored = values[expert * 65_536..<(expert + 1) * 65_536].map { $0 * factor }
      let name = "model.layers.0.block_sparse_moe.experts.\(expert).w2.weight"
      #expect(try checkpoint.copiedBytes(of: name) == narrowed(stored, to: .bf16))
    }
    #expect(checkpoint.contents.notices == ["NVFP4: 1 tensor rounded to BF16"])
  }

  @Test func `of inputs are left out with a notice`() throws {
    let checkpoint = try Self.model([("blk.0.ffn_down.input_scale", [0.3])]).open(in: folder)
    let notice = "1 scale of inputs, keys and values left out: rilq does not round them"
    #expect(checkpoint.contents.notices == [notice])
  }

  @Test func `are refused if they are not one finite number for each matrix`() {
    #expect(
      problem(Self.model([("blk.0.ffn_down.scale", [1, 2])]))
        .says("… tensor 'blk.0.ffn_down.scale': is F32 [2], not F32 of 1 number"))
    #expect(
      problem(Self.model([("blk.0.ffn_down.scale", [.nan])]))
        .says("… tensor 'blk.0.ffn_down.scale': value 0 is not finite"))
    #expect(
      problem(Self.model([("blk.0.ffn_up.scale", [1])]))
        .says("… tensor 'blk.0.ffn_up.scale': no such tensor is known in architecture 'llama' …"))
  }
}
