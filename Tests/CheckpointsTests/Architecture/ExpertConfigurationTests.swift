import Checkpoints
import TestSupport
import Testing

/// The keys of `config.json` that describe experts.
@Suite struct ExpertConfigurationTests {
  private func experts(_ model: FamilyModel, layer: Int = 1) throws -> ExpertsDescription? {
    try ModelConfiguration(model.configuration, path: "config.json").description.layers[layer].experts
  }

  private func changed(
    _ model: FamilyModel, _ key: String, _ value: JSONValue
  ) -> FamilyModel {
    var model = model
    model.configuration.set(key, to: value)
    return model
  }

  @Test func `experts and the weights of their outputs follow the keys`() throws {
    let mixtral = try #require(try experts(.mixtral()))
    #expect(mixtral.experts.count == 4 && mixtral.chosenCount == 2 && mixtral.weighting == .amongChosen)
    let qwen = try #require(try experts(.qwen3Moe()))
    #expect(qwen.experts.count == 5 && qwen.chosenCount == 3 && qwen.weighting == .amongAll)
    #expect(qwen.experts[0].gate.shape == [32, 64])
    let normalized = try experts(changed(.qwen3Moe(), "norm_topk_prob", .bool(true)))
    #expect(normalized?.weighting == .amongChosen)
    #expect(try experts(.gptOss())?.activation == .clampedSiLU(limit: 7))
    #expect(try experts(.qwen3_5Moe())?.shared?.expert.down.shape == [64, 64])
  }

  @Test func `layers of a list, and those between the steps, have no experts`() throws {
    #expect(try experts(.qwen3Moe(), layer: 0) == nil)
    let none = try changed(.qwen3Moe(), "mlp_only_layers", .array([]))
    #expect(try experts(none, layer: 0) != nil)
    #expect(try experts(changed(none, "decoder_sparse_step", .integer(2)), layer: 0) == nil)
  }

  @Test(arguments: [
    ("num_experts_per_tok", JSONValue.integer(5)), ("num_experts", .integer(7)),
    ("num_local_experts", .integer(1 << 13)), ("num_local_experts", .string("four")),
  ])
  func `numbers of experts that contradict each other are refused`(key: String, value: JSONValue) throws {
    let error = #expect(throws: FormatError.self) { try experts(changed(.mixtral(), key, value)) }
    #expect(error?.place?.contains("key 'num_") == true)
  }

  @Test(arguments: [
    ("swiglu_alpha", JSONValue.double(1.5)), ("swiglu_limit", .double(-1)), ("swiglu_limit", .string("7")),
  ])
  func `gates that the kernels do not compute are refused`(key: String, value: JSONValue) throws {
    let error = #expect(throws: FormatError.self) { try experts(changed(.gptOss(), key, value)) }
    #expect(error?.place == "key '\(key)'")
  }

  @Test func `gpt-oss scales positions if nothing is stated`() throws {
    let configuration = try ModelConfiguration(FamilyModel.gptOss().configuration, path: "config.json")
    guard case .yarn(let yarn) = configuration.rotaryDescriptions.first?.parameters.scaling else {
      Issue.record("the scaling is not yarn")
      return
    }
    #expect(yarn.factor == 32 && yarn.originalContext == 4096 && !yarn.roundsBounds)
  }

  @Test func `routers are no linears to quantize`() throws {
    let folder = try TemporaryFolder()
    let layout = try ModelLayout(of: FamilyModel.qwen3_5Moe().write(to: folder.path("model")))
    let module = "model.layers.0.mlp."
    for name in ["gate", "shared_expert_gate"] {
      #expect(layout.isRouter(module + name) && !layout.isLayerLinear(module + name))
    }
    for name in ["experts.2.down_proj", "shared_expert.up_proj"] {
      #expect(!layout.isRouter(module + name) && layout.isLayerLinear(module + name))
    }
    #expect(!layout.isLayerLinear(module + "experts.3.down_proj"))
  }
}
