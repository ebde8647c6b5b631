import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Every family against transformers, on tiny checkpoints whose weights follow from their names.
@Suite struct FamilyTests {
  /// transformers and this program add f32 products in another order.
  private static let logitTolerance: Float = 1e-3
  /// Of the norm of a gradient.
  private static let gradientTolerance = 1e-3
  private static let rank = 2
  private static let scaling: Float = 2
  private static let adapterSize: Float = 0.2
  private static let probeCount = 4

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func model(
    _ fixture: FamilyFixture, _ spelling: FamilyFixture.Spelling = .published,
    salt: FamilyFixture.Salt = .first
  ) throws -> Transformer {
    try Transformer(fixture.write(to: folder.path("model"), spelling, salt: salt))
  }

  private func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
  }

  private func logits(_ model: Transformer, _ tokens: [Int32]) throws -> [Float] {
    let rotary = model.rotaryTables(positions: tokens.count)
    return model.logits(try model.finalHidden(tokens, rotary: rotary)).values
  }

  @Test func `there is a fixture for every family`() throws {
    let families = try FamilyFixture.names.map {
      try ModelConfiguration(FamilyFixture($0).configuration(), path: $0).family.modelType
    }
    #expect(Set(families) == Set(ModelFamily.all.map(\.modelType)))
  }

  @Test(arguments: FamilyFixture.names, FamilyFixture.Spelling.allCases)
  func `logits equal transformers', however the configuration is spelled`(
    name: String, spelling: FamilyFixture.Spelling
  ) throws {
    let fixture = try FamilyFixture(name)
    let found = try logits(model(fixture, spelling), fixture.tokens)
    #expect(largestDifference(found, try fixture.golden("logits")) < Self.logitTolerance)
  }

  @Test(arguments: FamilyFixture.names)
  func `logits of other weights equal transformers', too`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let expected = try fixture.golden("second")
    let found = try logits(model(fixture, salt: .second), fixture.tokens).suffix(expected.count)
    #expect(largestDifference(Array(found), expected) < Self.logitTolerance)
  }

  @Test(arguments: FamilyFixture.trainedNames)
  func `losses and gradients of adapters equal PyTorch's`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let tokens = fixture.tokens
    var student = try model(fixture)
    let rotary = student.rotaryTables(positions: tokens.count)
    let window = TrainingWindow(
      tokens: tokens, teacher: try student.finalHidden(tokens, rotary: rotary).values)
    student.updateLayerLinears { $0.adapter = adapter(for: $0) }
    var gradients = student.layers.map { LayerGradients(for: $0, training: .adapter) }
    let loss = try student.addRilqGradients(
      of: window, RilqObjective(), gradientScale: 1, to: &gradients, rotary: rotary)
    var repeated = student.layers.map { LayerGradients(for: $0, training: .adapter) }
    _ = try student.addRilqGradients(
      of: window, RilqObjective(), gradientScale: 1, recomputesLayers: true, to: &repeated, rotary: rotary)
    for (a, b) in zip(gradients.flatMap(\.groups).joined(), repeated.flatMap(\.groups).joined()) {
      #expect(a.loraA == b.loraA && a.loraB == b.loraB)
    }

    let losses = try fixture.golden("losses").map(Double.init)
    for (found, expected) in zip([loss.modelLoss, loss.groundTruthLoss], losses) {
      #expect(abs(found - expected) < Self.gradientTolerance * expected)
    }
    let linears = zip(student.layerLinears.map { shortName($0) }, gradients.flatMap { $0.groups.joined() })
      .sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    let found = linears.flatMap { name, gradient in
      summary(gradient.loraA, "\(name).lora_A") + summary(gradient.loraB, "\(name).lora_B")
    }
    let expected = try fixture.golden("gradients").map(Double.init)
    try #require(found.count == expected.count && !found.isEmpty)
    for start in stride(from: 0, to: found.count, by: 1 + Self.probeCount) {
      let tolerance = Self.gradientTolerance * expected[start]
      for index in start...start + Self.probeCount {
        let name = linears[index / (2 * (1 + Self.probeCount))].0
        #expect(
          abs(found[index] - expected[index]) < tolerance, "\(name): \(found[index]), \(expected[index])")
      }
    }
  }

  /// The name from `layers.` on.
  private func shortName(_ linear: Linear) -> String {
    linear.name.firstRange(of: "layers.").map { String(linear.name[$0.lowerBound...]) } ?? linear.name
  }

  private func adapter(for linear: Linear) -> LowRankAdapter {
    func matrix(_ part: String, _ rows: Int, _ columns: Int) -> Matrix {
      let values = FamilyFixture.uniform("\(shortName(linear)).lora_\(part)", count: rows * columns)
      return Matrix(rows: rows, columns: columns, values: values.map { Self.adapterSize * $0 })
    }
    return LowRankAdapter(
      kind: .dense, scaling: Self.scaling, groupSize: 1,
      loraA: matrix("A", Self.rank, linear.weight.columnCount),
      loraB: matrix("B", linear.weight.rowCount, Self.rank))
  }

  /// The norm of a gradient, and its products with directions that follow from its name.
  private func summary(_ gradient: [Float], _ name: String) -> [Double] {
    func product(_ other: [Float]) -> Double {
      zip(gradient, other).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    return [product(gradient).squareRoot()]
      + (0..<Self.probeCount).map { product(FamilyFixture.uniform("\(name).\($0)", count: gradient.count)) }
  }

  @Test(arguments: FamilyFixture.names)
  func `tokens one by one have the logits of the whole window`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let model = try model(fixture)
    let tokens = fixture.tokens
    let expected = try logits(model, tokens)
    let width = expected.count / tokens.count
    var decoder = Decoder(model, capacity: tokens.count)
    var found = try decoder.read(Array(tokens.prefix(5))).values
    for count in 5...tokens.count {
      if count > 5 { found = try decoder.append([tokens[count - 1]], slots: [0]).values }
      let row = Array(expected[(count - 1) * width..<count * width])
      #expect(largestDifference(found, row) < Self.logitTolerance, "token \(count)")
    }
  }

  @Test(arguments: FamilyFixture.names)
  func `a window halted before each group, and layers read one by one, compute the model`(
    name: String
  ) throws {
    let fixture = try FamilyFixture(name)
    let checkpoint = try fixture.write(to: folder.path("model"))
    let model = try Transformer(checkpoint)
    let rotary = model.rotaryTables(positions: fixture.tokens.count)
    var whole = try model.stream(of: fixture.tokens)
    var window = HaltedWindow(whole)
    var keeping = window
    for layer in model.layers {
      model.forward(layer, &whole, rotary: rotary)
      for group in layer.groupKinds {
        model.advance(&window, through: layer, to: .before(group), rotary: rotary)
        model.advance(&keeping, through: layer, to: .before(group), rotary: rotary, keepsInput: true)
        let input = model.input(of: window, layer, before: group)
        #expect(input.columnCount == layer[group].inputCount)
        #expect(model.input(of: keeping, layer, before: group) == input)
      }
      model.advance(&window, through: layer, to: layer.end, rotary: rotary)
      model.advance(&keeping, through: layer, to: layer.end, rotary: rotary)
      #expect(window.hidden == whole.hidden && keeping.hidden == whole.hidden)
    }
    let hidden = try model.finalHidden(fixture.tokens, rotary: rotary)
    try StreamedTransformer(model, of: checkpoint).finalHidden([fixture.tokens]) { _, streamed in
      #expect(streamed == hidden)
    }
  }
}
