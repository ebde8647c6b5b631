import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

@Suite struct OutputGradientTests {
  private let model: Transformer

  init() throws {
    let folder = try TemporaryFolder()
    model = try Transformer(TinyModel { $0.dtype = .f32 }.write(to: folder.path("model")))
  }

  private func stream(before layer: Int, in model: Transformer) throws -> WindowStream {
    var stream = try model.stream(of: sampleTokens)
    let rotary = model.rotaryTables(positions: sampleTokens.count)
    for earlier in model.layers[..<layer] { model.forward(earlier, &stream, rotary: rotary) }
    return stream
  }

  /// The gradients of the weights of a layer's groups, `[out, in]`.
  private func weightGradients(layer: Int) throws -> [LinearGroupKind: Matrix] {
    var gradients: [LinearGroupKind: Matrix] = [:]
    let rotary = model.rotaryTables(positions: sampleTokens.count)
    model.outputGradients(
      of: sampleTokens, stream: try stream(before: layer, in: model), layer: layer, rotary: rotary
    ) { group, x, dy in
      let product = DoubleMatrix(dy).times(DoubleMatrix(x), .transposedLeft)
      gradients[group] = Matrix(
        rows: product.rowCount, columns: product.columnCount, values: product.values.map { Float($0) })
    }
    return gradients
  }

  private func loss(of model: Transformer) throws -> Double {
    let evaluation = try model.evaluate([sampleTokens])
    return evaluation.nllPerToken * Double(evaluation.tokensScored)
  }

  /// The model with a multiple of a direction added to the weights of a group.
  private func moved(_ group: LinearGroupKind, _ layer: Int, along direction: Matrix, by size: Double) throws
    -> Transformer
  {
    var moved = model
    var row = 0
    for index in moved.layers[layer][group].linears.indices {
      let linear = moved.layers[layer][group].linears[index]
      var weight = linear.foldedWeight
      let start = row * direction.columnCount
      for i in weight.values.indices { weight.values[i] += Float(size) * direction.values[start + i] }
      row += weight.rowCount
      moved.layers[layer][group].linears[index].weight = Weight(
        rows: weight.rowCount, columns: weight.columnCount,
        values: .dense(TensorBytes(weight.values, as: .f32), .f32))
    }
    return moved
  }

  @Test(arguments: [0, 1], [LinearGroupKind.queriesKeysValues, .attentionOutput, .gateAndUp, .down])
  func `the gradients are those of finite differences`(layer: Int, group: LinearGroupKind) throws {
    let gradient = try #require(try weightGradients(layer: layer)[group])
    let norm = DoubleMatrix(gradient).squaredNorm.squareRoot()
    #expect(norm > 0.1)
    // Along the gradient the loss rises by its norm for each unit; the step is far above the rounding of singles.
    let step = 2e-3
    let losses = try [step, -step].map {
      try loss(of: moved(group, layer, along: gradient, by: $0 / norm))
    }
    let slope = (losses[0] - losses[1]) / (2 * step)
    #expect(abs(slope / norm - 1) < 0.02, "\(slope) instead of \(norm)")
  }

  @Test func `the loss is the sum of the cross entropies`() throws {
    let rotary = model.rotaryTables(positions: sampleTokens.count)
    let sum = model.outputGradients(
      of: sampleTokens, stream: try stream(before: 1, in: model), layer: 1, rotary: rotary
    ) { _, _, _ in }
    #expect(abs(sum / (try loss(of: model)) - 1) < 1e-5)
  }
}
