import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Families whose layers have states or attention of their own, on small random models.
@Suite struct RecurrentFamilyTests {
  enum Kind: String, CaseIterable, Sendable {
    case qwen3_5, lfm2, lfm2WithBias, gemma4, connectedGemma4

    func model() throws -> FamilyModel {
      switch self {
      case .qwen3_5: try .qwen3_5()
      case .lfm2: try .lfm2()
      case .lfm2WithBias: try .lfm2(bias: true)
      case .gemma4: try .gemma4()
      case .connectedGemma4: try .connectedGemma4()
      }
    }
  }

  /// Both ways add in f32, in another order.
  private static let tolerance: Float = 1e-4
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func model(_ kind: Kind) throws -> Transformer {
    try Transformer(kind.model().write(to: folder.path("model")))
  }

  @Test(arguments: Kind.allCases, [1, 5])
  func `tokens one by one have the logits of the whole window`(kind: Kind, promptCount: Int) throws {
    let model = try model(kind)
    let tokens = Array(sampleTokens.prefix(20))
    let rotary = model.rotaryTables(positions: tokens.count)
    let expected = model.logits(try model.finalHidden(tokens, rotary: rotary))
    var decoder = Decoder(model, slots: 2, capacity: tokens.count + 3, products: .independent)
    // Another sequence beside it changes nothing.
    _ = try decoder.read(Array(tokens.suffix(3)), slot: 1)
    var logits = try decoder.read(Array(tokens.prefix(promptCount)))
    for (index, token) in tokens.enumerated().dropFirst(promptCount) {
      let difference = zip(logits.values, expected.values[expected.row(index - 1)]).map { abs($0 - $1) }
      #expect(try #require(difference.max()) < Self.tolerance)
      logits = try decoder.append([token, tokens[index - 1]], slots: [0, 1]).rows(0..<1)
    }
  }

  @Test(arguments: Kind.allCases)
  func `a cleared sequence begins anew`(kind: Kind) throws {
    var decoder = Decoder(try model(kind), capacity: 8)
    let first = try decoder.read(Array(sampleTokens.prefix(4)))
    _ = try decoder.append([7], slots: [0])
    decoder.clear(0)
    #expect(try decoder.read(Array(sampleTokens.prefix(4))) == first)
  }

  @Test(arguments: Kind.allCases)
  func `a window that pauses has the output of one that does not`(kind: Kind) throws {
    let model = try model(kind)
    let tokens = Array(sampleTokens.prefix(20))
    let rotary = model.rotaryTables(positions: tokens.count)
    var expected = try model.stream(of: tokens)
    var window = HaltedWindow(expected)
    for layer in model.layers {
      for (index, kind) in layer.groupKinds.enumerated() {
        model.advance(&window, through: layer, to: .before(kind), rotary: rotary)
        let input = model.input(of: window, layer, before: kind)
        #expect(input.columnCount == layer.groups[index].inputCount)
      }
      model.advance(&window, through: layer, to: layer.end, rotary: rotary)
      model.forward(layer, &expected, rotary: rotary)
      #expect(window.hidden == expected.hidden)
    }
  }

  @Test(arguments: Kind.allCases, [0, 1])
  func `the gradients are those of finite differences`(kind: Kind, layer: Int) throws {
    let model = try model(kind)
    let tokens = Array(sampleTokens.prefix(20))
    let rotary = model.rotaryTables(positions: tokens.count)
    func loss(
      of model: Transformer, _ lend: (LinearGroupKind, Matrix, Matrix) -> Void = { _, _, _ in }
    ) throws -> Double {
      var stream = try model.stream(of: tokens)
      for earlier in model.layers[..<layer] { model.forward(earlier, &stream, rotary: rotary) }
      return model.outputGradients(of: tokens, stream: stream, layer: layer, rotary: rotary, lend)
    }
    var gradients: [LinearGroupKind: DoubleMatrix] = [:]
    _ = try loss(of: model) { group, x, dy in
      gradients[group] = DoubleMatrix(dy).times(DoubleMatrix(x), .transposedLeft)
    }
    #expect(gradients.count == model.layers[layer].groups.count)
    for (group, gradient) in gradients {
      let norm = gradient.squaredNorm.squareRoot()
      // Along the gradient the loss rises by its norm for each unit: by 0.02, far above the rounding of singles.
      let step = min(2e-3, 0.02 / norm)
      let losses = try [step, -step].map { size in
        var moved = model
        moved.layers[layer][group].add(gradient.values, times: size / norm)
        return try loss(of: moved)
      }
      let slope = (losses[0] - losses[1]) / (2 * step)
      #expect(abs(slope / norm - 1) < 0.02, "\(group): \(slope) instead of \(norm)")
    }
  }

  @Test func `small gates of a delta net are no linears to quantize`() throws {
    let layout = try ModelLayout(of: FamilyModel.qwen3_5().write(to: folder.path("model")))
    let mixer = "model.language_model.layers.0.linear_attn."
    #expect(layout.isLayerLinear(mixer + "in_proj_qkv") && layout.isLayerLinear(mixer + "out_proj"))
    #expect(!layout.isLayerLinear(mixer + "in_proj_a") && !layout.isLayerLinear(mixer + "in_proj_b"))
    #expect(!layout.isLayerLinear("model.visual.layers.0.proj"))
  }

  @Test(arguments: Kind.allCases)
  func `layer by layer from the file is the same as at once`(kind: Kind) throws {
    let checkpoint = try kind.model().write(to: folder.path("model"))
    let model = try Transformer(checkpoint)
    let windows = [Array(sampleTokens.prefix(20)), Array(sampleTokens.suffix(20))]
    let rotary = model.rotaryTables(positions: 20)
    try StreamedTransformer(model, of: checkpoint).finalHidden(windows) { index, hidden in
      let expected = try model.finalHidden(windows[index], rotary: rotary)
      #expect(hidden == expected)
    }
  }

  @Test func `keys and values are kept from the layer that lends them to the last one that borrows them`()
    throws
  {
    let model = try model(.connectedGemma4)
    let tokens = Array(sampleTokens.prefix(20))
    let rotary = model.rotaryTables(positions: tokens.count)
    var stream = try model.stream(of: tokens)
    var window = HaltedWindow(stream)
    let kept = model.layers.map { layer in
      model.forward(layer, &stream, rotary: rotary)
      model.advance(&window, through: layer, to: layer.end, rotary: rotary)
      #expect(window.stream.context.lent == stream.context.lent)
      return stream.context.lent.keys.sorted()
    }
    #expect(kept == [[0], [0, 1], [0, 1], [1], []])
    #expect(model.configuration.description.lentWidth == 2 * 16 + 2 * 32)
  }

  @Test func `other parts of a larger model are named in a notice`() throws {
    let notices = try FamilyModel.qwen3_5().write(to: folder.path("model")).notices
    #expect(notices.count == 1)
    #expect(notices.first?.contains("'model.visual', 'mtp'") == true)
  }

  @Test(arguments: ["A_log", "dt_bias", "conv1d.weight", "norm.weight"])
  func `a state that is not finite is refused by its tensor`(name: String) throws {
    let damaged = "model.language_model.layers.0.linear_attn." + name
    let broken = try Transformer(
      FamilyModel.qwen3_5().write(to: folder.path("model")) { tensor, values in
        if tensor == damaged { values[1] = .nan }
      })
    let error = #expect(throws: ModelError.self) { try broken.evaluate([sampleTokens]) }
    #expect(error?.description.contains("'\(damaged)': value 1") == true)
  }
}

extension LinearGroup {
  /// Adds a direction, `[out, in]`, to the weights of all linears.
  fileprivate mutating func add(_ direction: [Double], times size: Double) {
    var start = 0
    for index in linears.indices {
      let weight = linears[index].foldedWeight
      let values = weight.values.indexed().map { $1 + Float(size * direction[start + $0]) }
      start += values.count
      linears[index].weight = Weight(
        rows: weight.rowCount, columns: weight.columnCount,
        values: .dense(TensorBytes(values, as: .f32), .f32))
    }
  }
}

extension Array {
  fileprivate func indexed() -> [(Int, Element)] { enumerated().map { ($0, $1) } }
}
