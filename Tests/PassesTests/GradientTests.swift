import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Gradients against central differences of the loss, on a model whose layers mix everything there is.
@Suite struct GradientTests {
  /// The change of the loss that a difference is taken over.
  ///
  /// The loss is known to about 1e-7, so a slope is
  /// known to 1e-4 of itself; the rest of the tolerance is for the curvature.
  private static let lossChange = 1e-3
  private static let relativeTolerance = 0.02
  private static let weights = RilqLossWeights(model: 0.7, groundTruth: 0.4, divergence: 0.6)

  /// One list of numbers of a linear that is trained.
  private struct Parameter {
    let name: String
    let gradient: @Sendable (LinearGradients) -> [Float]
    let add: @Sendable (inout Linear, [Float], Float) -> Void
  }

  private static let parameters = [
    Parameter(name: "A", gradient: \.loraA) { linear, direction, size in
      guard var adapter = linear.adapter else { return }
      add(direction, size, to: &adapter.loraA.values)
      linear.adapter = adapter
    },
    Parameter(name: "B", gradient: \.loraB) { linear, direction, size in
      guard var adapter = linear.adapter else { return }
      add(direction, size, to: &adapter.loraB.values)
      linear.adapter = adapter
    },
    Parameter(name: "scales", gradient: \.scales) { linear, direction, size in
      guard var packed = linear.weight.packed else { return }
      var scales = packed.scales
      add(direction, size, to: &scales)
      packed.replaceTables(scales: scales, biases: nil)
      linear.weight.packed = packed
    },
    Parameter(name: "biases", gradient: \.biases) { linear, direction, size in
      guard var packed = linear.weight.packed else { return }
      var biases = packed.biases
      add(direction, size, to: &biases)
      packed.replaceTables(scales: nil, biases: biases)
      linear.weight.packed = packed
    },
  ]

  private static func add(_ direction: [Float], _ size: Float, to values: inout [Float]) {
    for i in values.indices { values[i] += size * direction[i] }
  }

  @Test(
    arguments: AdapterParameters.Kind.allCases,
    [DivergenceShape(), DivergenceShape(tokenCount: 12, temperature: 2)])
  func `every gradient is the slope of the loss`(kind: AdapterParameters.Kind, divergence: DivergenceShape)
    throws
  {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 64 })
    let student = try mixedStudent(kind, bench)
    let teacher = try Transformer(bench.input)
    let tokens = Array(sampleTokens.prefix(24))
    let rotary = teacher.rotaryTables(positions: tokens.count)
    // A stretch in the middle is not scored.
    let window = TrainingWindow(
      tokens: tokens, teacher: try teacher.finalHidden(tokens, rotary: rotary).values,
      isScored: tokens.indices.map { !(7..<11).contains($0) })
    let objective = RilqObjective(Self.weights, teacherHead: teacher.head, divergence: divergence)
    var gradients = student.layers.map { LayerGradients(for: $0, training: [.adapter, .bias, .scale]) }
    _ = try student.addRilqGradients(
      of: window, objective, gradientScale: 1, to: &gradients, rotary: rotary)

    var checked: [String: Int] = [:]
    for (index, linear) in gradients.flatMap({ $0.groups.joined() }).enumerated() {
      for parameter in Self.parameters {
        let gradient = parameter.gradient(linear)
        guard !gradient.isEmpty else { continue }
        for direction in [gradient, noise("\(index)", count: gradient.count, size: norm(gradient))] {
          let slope = zip(gradient, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
          let size = Float(Self.lossChange) / (norm(gradient) * norm(direction))
          let losses = try [size, -size].map { size in
            var moved = student
            change(&moved, linear: index) { parameter.add(&$0, direction, size) }
            return try moved.rilqLoss(of: window, objective, rotary: rotary).total(Self.weights)
          }
          let difference = (losses[0] - losses[1]) / (2 * Double(size))
          let scale = Double(norm(gradient) * norm(direction))
          #expect(
            abs(difference - slope) < Self.relativeTolerance * scale,
            "\(student.layerLinears[index].name) \(parameter.name): \(difference), \(slope)")
        }
        checked[parameter.name, default: 0] += 1
      }
    }
    #expect(checked == ["A": 6, "B": 6, "scales": 10, "biases": 10])
  }

  @Test func `only tokens that are scored count`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 64 })
    let student = try mixedStudent(.dense, bench)
    let teacher = try Transformer(bench.input)
    let tokens = Array(sampleTokens.prefix(24))
    let rotary = teacher.rotaryTables(positions: tokens.count)
    let hidden = try teacher.finalHidden(tokens, rotary: rotary).values
    let objective = RilqObjective(Self.weights, teacherHead: teacher.head)
    func loss(_ isScored: [Bool]?) throws -> RilqLoss {
      try student.rilqLoss(
        of: TrainingWindow(tokens: tokens, teacher: hidden, isScored: isScored), objective, rotary: rotary)
    }
    let chosen = tokens.indices.map { (5..<9).contains($0) }
    let (all, some, others) = (try loss(nil), try loss(chosen), try loss(chosen.map { !$0 }))
    // The first token has nothing before it: 23 are scored in all, 4 of them chosen.
    for part in [\RilqLoss.groundTruthLoss, \.divergence] {
      #expect(abs(4 * some[keyPath: part] + 19 * others[keyPath: part] - 23 * all[keyPath: part]) < 1e-9)
      #expect(abs(some[keyPath: part] - others[keyPath: part]) > 1e-3)
    }
    #expect(some.modelLoss == all.modelLoss)
  }

  @Test func `layers that run forward twice have the same gradients, bit for bit`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 64 })
    let student = try mixedStudent(.dense, bench)
    let teacher = try Transformer(bench.input)
    let tokens = Array(sampleTokens.prefix(24))
    let rotary = teacher.rotaryTables(positions: tokens.count)
    let window = TrainingWindow(
      tokens: tokens, teacher: try teacher.finalHidden(tokens, rotary: rotary).values)
    let lists = try [false, true].map { recomputes in
      var gradients = student.layers.map { LayerGradients(for: $0, training: [.adapter, .bias, .scale]) }
      _ = try student.addRilqGradients(
        of: window, RilqObjective(), gradientScale: 1, recomputesLayers: recomputes, to: &gradients,
        rotary: rotary)
      return gradients.flatMap { $0.groups.joined() }.map { [$0.loraA, $0.loraB, $0.scales, $0.biases] }
    }
    #expect(lists[0] == lists[1])
    #expect(lists[0].joined().contains { $0.contains { $0 != 0 } })
  }

  @Test func `a weight's gradient is the product of its outputs' gradients with its input`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 64 })
    let student = try mixedStudent(.dense, bench)
    let layer = student.layers[0]
    let rotary = student.rotaryTables(positions: 24)
    var stream = try student.stream(of: Array(sampleTokens.prefix(24)))
    let activations = student.forward(layer, &stream, rotary: rotary)
    var lent: [LinearGroupKind: (x: Matrix, dy: Matrix)] = [:]
    var gradients = LayerGradients(for: layer, training: .code)
    // Twice, as gradients of windows add up.
    for _ in 0..<2 {
      var gradient = StreamGradient(hidden: stream.hidden)
      student.backward(layer, activations, gradient: &gradient, gradients: &gradients, rotary: rotary) {
        lent[$0] = ($1, $2)
      }
    }
    var checked = 0
    for (index, kind) in layer.groupKinds.enumerated() {
      let (x, dy) = try #require(lent[kind])
      let group = layer.groups[index]
      for (i, linear) in group.linears.enumerated() {
        let weights = gradients.groups[index][i].weights
        #expect(weights.isEmpty == (linear.weight.packed == nil))
        guard !weights.isEmpty else { continue }
        let expected = product(dy, columns: group.columns(of: i), x).map { 2 * $0 }
        let difference = zip(weights, expected).map { Double($0) - $1 }
        #expect(norm(difference) < 1e-5 * norm(expected), "\(linear.name)")
        checked += 1
      }
    }
    #expect(checked == 5)
  }

  /// `dyᵀ · x` for some columns of `dy`, entry by entry.
  private func product(_ dy: Matrix, columns: Range<Int>, _ x: Matrix) -> [Double] {
    columns.flatMap { row in
      (0..<x.columnCount).map { column in
        (0..<x.rowCount).reduce(0.0) { sum, token in
          sum + Double(dy.values[token * dy.columnCount + row])
            * Double(x.values[token * x.columnCount + column])
        }
      }
    }
  }

  private func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  @Test func `the gradient of a layer's loss for another one's output is its slope`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 64 })
    let student = try mixedStudent(.dense, bench)
    let original = try Transformer(bench.input)
    let rotary = original.rotaryTables(positions: 24)
    let input = try original.stream(of: Array(sampleTokens.prefix(24)))
    var expected = input
    original.forward(original.layers[0], &expected, rotary: rotary)
    var gradients = LayerGradients(for: student.layers[0], training: [.bias, .scale])
    func loss(_ layer: Transformer.DecoderLayer, _ scale: Float?) -> Double {
      student.addLayerGradients(
        of: layer, input: input, expected: expected.hidden, gradientScale: scale, to: &gradients,
        rotary: rotary)
    }
    // The gradients are those of the sum over tokens.
    _ = loss(student.layers[0], 1.0 / 24)
    let gradient = gradients.groups[student.layers[0].index(of: .down)][0].scales
    try #require(!gradient.isEmpty)
    let slope = Double(norm(gradient) * norm(gradient))
    let size = Float(Self.lossChange / slope)
    let losses = [size, -size].map { size in
      var moved = student.layers[0]
      Self.parameters[2].add(&moved[.down].linears[0], gradient, size)
      return loss(moved, nil)
    }
    let difference = (losses[0] - losses[1]) / (2 * Double(size))
    #expect(abs(difference - slope) < Self.relativeTolerance * slope, "\(difference), \(slope)")
  }

  @Test func `the gradient of a layer's own loss is its slope`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 64
        $0.layerCount = 1
      })
    let student = try mixedStudent(.dense, bench)
    try expectLocalSlopes(of: student, bench, .layer, linears: Array(0..<7))
  }

  @Test func `the gradient of a linear's own loss is its slope`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 64
        $0.layerCount = 1
      })
    let student = try mixedStudent(.dense, bench)
    // Changing any other linear changes the inputs of those behind it, which their losses see and its gradient does not.
    try expectLocalSlopes(of: student, bench, .linear, linears: [6])
  }

  private func expectLocalSlopes(
    of student: Transformer, _ bench: Workbench, _ scope: LossScope, linears: [Int]
  ) throws {
    let original = try Transformer(bench.input)
    let tokens = Array(sampleTokens.prefix(24))
    let rotary = original.rotaryTables(positions: tokens.count)
    func loss(_ model: Transformer, _ gradients: inout [LayerGradients], scale: Double?) throws -> Double {
      try model.addLocalGradients(
        of: tokens, original: original, scope: scope, gradientScale: scale, to: &gradients, rotary: rotary)
    }
    var gradients = student.layers.map { LayerGradients(for: $0, training: [.adapter, .bias, .scale]) }
    let outputs = scope == .layer ? student.layers.count : student.layerLinears.count
    _ = try loss(student, &gradients, scale: 1 / Double(outputs))
    let all = gradients.flatMap { $0.groups.joined() }
    var checked = 0
    for index in linears {
      for parameter in Self.parameters where !parameter.gradient(all[index]).isEmpty {
        let gradient = parameter.gradient(all[index])
        let size = Float(Self.lossChange) / (norm(gradient) * norm(gradient))
        let losses = try [size, -size].map { size in
          var moved = student
          change(&moved, linear: index) { parameter.add(&$0, gradient, size) }
          return try loss(moved, &gradients, scale: nil)
        }
        let slope = Double(norm(gradient) * norm(gradient))
        let difference = (losses[0] - losses[1]) / (2 * Double(size))
        #expect(
          abs(difference - slope) < Self.relativeTolerance * slope,
          "\(student.layerLinears[index].name) \(parameter.name): \(difference), \(slope)")
        checked += 1
      }
    }
    #expect(checked >= 2)
  }

  /// Of the linears of a layer two are dense; of the packed ones some have an adapter whose B is not zero.
  private func mixedStudent(_ kind: AdapterParameters.Kind, _ bench: Workbench) throws -> Transformer {
    let result = try bench.run(
      .quantize(
        try QuantizeOptions {
          $0.groupSize = 32
          $0.ignore = try patterns("k_proj", "up_proj")
        }),
      .attach(
        try AttachOptions {
          $0.kind = kind
          $0.rank = 4
          $0.targets = try patterns("q_proj", "v_proj", "down_proj")
        }))
    var student = try Transformer(result.checkpoint)
    student.updateLayerLinears { linear in
      guard var adapter = linear.adapter else { return }
      let values = noise(linear.name, count: adapter.loraB.values.count, size: 0.2)
      adapter.loraB.values = values
      linear.adapter = adapter
    }
    return student
  }

  private func change(_ model: inout Transformer, linear target: Int, _ body: (inout Linear) -> Void) {
    var index = 0
    model.updateLayerLinears { linear in
      if index == target { body(&linear) }
      index += 1
    }
  }

  private func norm(_ values: [Float]) -> Float {
    values.reduce(0) { $0 + $1 * $1 }.squareRoot()
  }
}
