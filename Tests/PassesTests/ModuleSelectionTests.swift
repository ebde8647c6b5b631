import Passes
import TestSupport
import Testing

@Suite struct ModuleSelectionTests {
  private static let modules =
    [ModuleDescription(name: "model.embed_tokens", isLayerLinear: false)]
    + (0..<2).flatMap { layer in
      ["self_attn.q_proj", "mlp.up_proj", "mlp.down_proj"].map {
        ModuleDescription(name: "model.layers.\(layer).\($0)", isLayerLinear: true)
      }
    }
    + [ModuleDescription(name: "score", isLayerLinear: false)]

  private func select(_ targets: [String]?, ignoring ignore: [String] = []) throws -> [String] {
    try ModuleSelection(targets: targets?.map(ModulePattern.init), ignore: ignore.map(ModulePattern.init))
      .select(from: Self.modules)
  }

  @Test func `takes all linears of the layers by default`() throws {
    #expect(try select(nil) == Self.modules.filter(\.isLayerLinear).map(\.name))
  }

  @Test func `takes what the targets match, in the order of the model`() throws {
    #expect(
      try select(["layers.1.mlp.up_proj", "q_proj", "score"])
        == [
          "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj",
          "model.layers.1.mlp.up_proj", "score",
        ])
  }

  @Test func `leaves out what is ignored`() throws {
    #expect(
      try select(["*mlp*"], ignoring: ["model.layers.0.*"])
        == ["model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"])
  }

  @Test func `may ignore an output head that is not there`() throws {
    #expect(try select(nil, ignoring: ["lm_head", "model.embed_tokens"]) == select(nil))
  }

  @Test(arguments: [
    (["down_prj"], [], "pattern 'down_prj' matches no module, the nearest is 'model.layers.0.mlp.down_proj'"),
    (
      ["mlp.upproj"], [],
      "pattern 'mlp.upproj' matches no module, the nearest is 'model.layers.0.mlp.up_proj'"
    ),
    (
      ["re:.*\\.q_porj"], [],
      "pattern 're:.*\\.q_porj' matches no module, the nearest is 'model.layers.0.self_attn.q_proj'"
    ),
    (["scores"], [], "pattern 'scores' matches no module, the nearest is 'score'"),
    (
      ["q_proj"], ["embed_token"],
      "pattern 'embed_token' matches no module, the nearest is 'model.embed_tokens'"
    ),
    (["q_proj"], ["*.q_proj"], "targets and ignore leave no module to work on"),
  ])
  func `refuses`(targets: [String], ignore: [String], expected: String) {
    #expect(message { _ = try select(targets, ignoring: ignore) } == expected)
  }

  @Test func `names the line of a pattern from a recipe`() throws {
    let pass = try parsePass("quantize: {ignore: [lm_head, up_prj]}")
    let options = try #require(pass.options(of: QuantizePass.self))
    let selection = ModuleSelection(targets: options.targets, ignore: options.ignore)
    let place = "recipes/r.yaml: line 4: key 'passes.0.quantize.ignore.1': "
    #expect(
      message { _ = try selection.select(from: Self.modules) }
        .says(place + "… 'up_prj' … nearest … 'model.layers.0.mlp.up_proj' …"))
  }
}
