import Reports
import Testing

@Suite struct ErrorGridTests {
  private func error(_ module: String, _ value: Double) -> ModuleError {
    ModuleError(module: module, weights: value, outputs: nil)
  }

  @Test func `errors are arranged by layer and kind, in the order of a layer`() {
    let grid = ErrorGrid(
      [
        error("model.layers.10.mlp.up_proj", 4), error("model.layers.2.self_attn.other", 7),
        error("model.layers.2.self_attn.q_proj", 1), error("model.layers.2.mlp.up_proj", 2),
        error("lm_head", 9),
      ], \.weights)
    #expect(grid.kinds == ["self_attn.q_proj", "mlp.up_proj", "self_attn.other"] && grid.layers == [2, 10])
    #expect(grid.values == [[1, 2, 7], [nil, 4, nil]])
    #expect(grid.layerMeans == [10.0 / 3, 4] && grid.range == 1...7)
  }

  @Test func `experts share a place, which has their mean`() {
    let grid = ErrorGrid(
      (0..<4).map { error("model.layers.0.mlp.experts.\($0).up_proj", Double($0)) }, \.weights)
    #expect(grid.kinds == ["mlp.experts.*.up_proj"] && grid.values == [[1.5]])
  }

  @Test func `a number that fits no integer is no layer`() {
    let module = "model.layers.99999999999999999999.q"
    #expect(ErrorGrid.layer(of: module) == nil)
    #expect(ErrorGrid([error(module, 1)], \.weights).range == nil)
  }
}
