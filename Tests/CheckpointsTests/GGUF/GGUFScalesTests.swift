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

  @Test func `of inputs are left out with a notice`() throws {
    let checkpoint = try Self.model([("blk.0.ffn_down.input_scale", [0.3])]).open(in: folder)
    #expect(checkpoint.contents.notices == ["1 scale of inputs left out: rilq does not round them"])
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
