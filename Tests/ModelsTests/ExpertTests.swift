import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Mixtures of experts on small random models.
@Suite struct ExpertTests {
  enum Kind: String, CaseIterable, Sendable {
    case mixtral, qwen3Moe, qwen3_5Moe, gptOss, gemma4Moe

    func model() throws -> FamilyModel {
      switch self {
      case .mixtral: try .mixtral()
      case .qwen3Moe: try .qwen3Moe()
      case .qwen3_5Moe: try .qwen3_5Moe()
      case .gptOss: try .gptOss()
      case .gemma4Moe: try .gemma4Moe()
      }
    }

    /// The module of the experts in a layer.
    var module: String { self == .gemma4Moe ? "experts" : "mlp.experts" }
  }

  /// Both ways add in f32, in another order.
  private static let tolerance: Float = 1e-4
  private let folder: TemporaryFolder
  private let tokens = Array(sampleTokens.prefix(20))

  init() throws { folder = try TemporaryFolder() }

  private func model(_ kind: Kind) throws -> Transformer {
    try Transformer(kind.model().write(to: folder.path("model")))
  }

  @Test(arguments: Kind.allCases)
  func `tokens one by one have the logits of the whole window`(kind: Kind) throws {
    let model = try model(kind)
    let rotary = model.rotaryTables(positions: tokens.count)
    let expected = model.logits(try model.finalHidden(tokens, rotary: rotary))
    var decoder = Decoder(model, capacity: tokens.count)
    var logits = try decoder.read(Array(tokens.prefix(3)))
    for (index, token) in tokens.enumerated().dropFirst(3) {
      let difference = zip(logits.values, expected.values[expected.row(index - 1)]).map { abs($0 - $1) }
      #expect(try #require(difference.max()) < Self.tolerance)
      logits = try decoder.append([token], slots: [0])
    }
  }

  @Test(arguments: Kind.allCases)
  func `a window that pauses before each expert has the output of one that does not`(kind: Kind) throws {
    let model = try model(kind)
    let rotary = model.rotaryTables(positions: tokens.count)
    var expected = try model.stream(of: tokens)
    var window = HaltedWindow(expected)
    for layer in model.layers {
      var sent = 0
      for (index, kind) in layer.groupKinds.enumerated() {
        model.advance(&window, through: layer, to: .before(kind), rotary: rotary)
        let input = model.input(of: window, layer, before: kind)
        #expect(input.columnCount == layer.groups[index].inputCount)
        #expect(input.rowCount == model.tokens(of: window, before: kind)?.count ?? tokens.count)
        if case .expertDown = kind { sent += input.rowCount }
      }
      if let experts = layer.description.experts {
        #expect(sent == tokens.count * (experts.chosenCount + (experts.shared == nil ? 0 : 1)))
      }
      model.advance(&window, through: layer, to: layer.end, rotary: rotary)
      model.forward(layer, &expected, rotary: rotary)
      #expect(window.hidden == expected.hidden)
    }
  }

  @Test(arguments: Kind.allCases, [0, 1])
  func `the gradients are those of finite differences`(kind: Kind, layer: Int) throws {
    let model = try model(kind)
    let rotary = model.rotaryTables(positions: tokens.count)
    func loss(
      of model: Transformer, _ lend: (LinearGroupKind, Matrix, Matrix) -> Void = { _, _, _ in }
    ) throws -> Double {
      var stream = try model.stream(of: tokens)
      for earlier in model.layers[..<layer] { model.forward(earlier, &stream, rotary: rotary) }
      return model.outputGradients(of: tokens, stream: stream, layer: layer, rotary: rotary, lend)
    }
    var gradients: [LinearGroupKind: [Float]] = [:]
    _ = try loss(of: model) { group, x, dy in gradients[group] = dy.transposedProduct(x) }
    // Few tokens need not reach every expert.
    let reached = gradients.keys.filter { $0.expert != nil }
    let all = model.layers[layer].groupKinds
    #expect(gradients.count - reached.count == all.count { $0.expert == nil })
    #expect(reached.count >= all.count { $0.expert != nil } - 2)
    for (group, gradient) in gradients {
      let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      // Along the gradient the loss rises by its norm for each unit. The step is far above the rounding of
      // singles, and too small to change the choice of an expert.
      let step = min(1e-3, 2e-3 / norm)
      let losses = try [step, -step].map { size in
        var moved = model
        moved.layers[layer][group].add(gradient, times: size / norm)
        return try loss(of: moved)
      }
      let slope = (losses[0] - losses[1]) / (2 * step)
      #expect(abs(slope / norm - 1) < 0.03, "\(group): \(slope) instead of \(norm)")
    }
  }

  @Test(arguments: [(Kind.qwen3Moe, 5), (.qwen3_5Moe, 3), (.gptOss, 4), (.gemma4Moe, 4)])
  func `experts in one tensor are those with tensors of their own`(kind: Kind, count: Int) throws {
    let separate = try kind.model().write(to: folder.path("separate"))
    let fused = try separate.fusingExperts(
      to: folder.path("fused"), module: kind.module, count: count, isTransposed: kind == .gptOss)
    #expect(fused.tensor(named: "model.layers.1.\(kind.module).0.up_proj.weight") == nil)
    #expect(try fused.logits(tokens) == separate.logits(tokens))
    let apart = try fused.separatingExperts()
    #expect(Set(apart.contents.tensors.map(\.name)) == Set(separate.contents.tensors.map(\.name)))
    for name in separate.contents.tensors.map(\.name) where name.contains(".experts.") {
      #expect(apart.tensor(named: name) == separate.tensor(named: name))
      #expect(try apart.copiedBytes(of: name) == separate.copiedBytes(of: name))
    }
  }

  @Test func `a tensor of all experts with another shape is refused`() throws {
    let separate = try Kind.qwen3Moe.model().write(to: folder.path("separate"))
    let fused = try separate.fusingExperts(to: folder.path("fused"), count: 4, isTransposed: false)
    let error = #expect(throws: FormatError.self) { try Transformer(fused) }
    #expect(error?.place == "tensor 'model.layers.1.mlp.experts.gate_up_proj'")
    #expect(error?.problem == .shape(expected: [5, 64, 64], found: [4, 64, 64]))
  }

  @Test func `an expert that no token is sent to has no input`() throws {
    let model = try Transformer(
      Kind.gptOss.model().write(to: folder.path("model")) { name, values in
        if name.hasSuffix("router.bias") { values[2] = -1000 }
      })
    let rotary = model.rotaryTables(positions: tokens.count)
    let layer = model.layers[0]
    var window = HaltedWindow(try model.stream(of: tokens))
    for kind in [LinearGroupKind.expertGateAndUp(2), .expertDown(2)] {
      model.advance(&window, through: layer, to: .before(kind), rotary: rotary)
      #expect(model.tokens(of: window, before: kind) == [])
      let input = model.input(of: window, layer, before: kind)
      #expect(input.rowCount == 0 && input.columnCount == layer[kind].inputCount)
      // Tokens of another model's choice reach it all the same.
      #expect(model.input(of: window, layer, before: kind, tokens: [3, 5]).rowCount == 2)
    }
  }

  @Test(arguments: ["block_sparse_moe.gate", "block_sparse_moe.experts.0.w2"])
  func `a matrix that is not finite is named`(module: String) throws {
    let damaged = "model.layers.0.\(module).weight"
    let broken = try Transformer(
      Kind.mixtral.model().write(to: folder.path("model")) { name, values in
        if name == damaged { values[1] = .nan }
      })
    let error = #expect(throws: ModelError.self) { try broken.evaluate([sampleTokens]) }
    #expect(error?.description.contains("'\(damaged)': value 1") == true)
  }
}

extension Matrix {
  /// This matrix, transposed, times another one, row-major.
  fileprivate func transposedProduct(_ x: Matrix) -> [Float] {
    var product = Matrix(rows: columnCount, columns: x.columnCount)
    var target = product.mutableView
    multiply(view.transposed, x.view, into: &target)
    return product.values
  }
}

extension LinearGroup {
  /// Adds a direction, `[out, in]`, to the weights of all linears.
  fileprivate mutating func add(_ direction: [Float], times size: Double) {
    var start = 0
    for index in linears.indices {
      let weight = linears[index].foldedWeight
      let values = weight.values.enumerated().map { $1 + Float(size) * direction[start + $0] }
      start += values.count
      linears[index].weight = Weight(
        rows: weight.rowCount, columns: weight.columnCount,
        values: .dense(TensorBytes(values, as: .f32), .f32))
    }
  }
}
