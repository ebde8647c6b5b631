import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Products of a group of linears are those of operands that are rounded as asked for, and of no others.
@Suite struct LinearGroupTests {
  private static let inputCount = 192
  private static let tokenCount = 21

  /// What is asked for, and how a weight is stored.
  private static let kinds: [(ProductOperands, Storage)] = ProductOperands.allCases.flatMap { operands in
    Storage.allCases.map { (operands, $0) }
  }

  enum Storage: CaseIterable, Sendable {
    case f32
    case bf16
    case packed

    func weight(rows: Int, _ random: inout SplitMix64) -> Weight {
      let count = rows * inputCount
      let values: Weight.Values
      switch self {
      case .f32: values = .dense(TensorBytes(narrowed(uniform(count, &random), to: .f32)), .f32)
      case .bf16: values = .dense(TensorBytes(narrowed(uniform(count, &random), to: .bf16)), .bf16)
      case .packed:
        values = .packed(
          PackedWeight(
            codes: TensorBytes((0..<count / 4).map { _ in UInt8.random(in: 0...255, using: &random) }),
            bits: 2, groupSize: 64, scales: uniform(count / 64, &random),
            biases: uniform(count / 64, &random)))
      }
      return Weight(rows: rows, columns: inputCount, values: values)
    }
  }

  @Test(arguments: kinds)
  func `outputs and gradients are those of the plain loops`(operands: ProductOperands, storage: Storage) {
    var random = SplitMix64(seed: 17)
    let weights = [40, 104].map { storage.weight(rows: $0, &random) }
    var group = LinearGroup(weights.enumerated().map { Linear(name: "\($0)", weight: $1) })
    group.operands = operands
    let x = matrix(columns: Self.inputCount, &random)
    let outputs = group(x)
    let dy = matrix(columns: group.outputCount, &random)
    var gradients = group.linears.map { LinearGradients(for: $0, training: .code) }
    var dx = Matrix.unspecified(rows: Self.tokenCount, columns: Self.inputCount)
    group.backward(x: x, dy: dy, gradients: &gradients, into: &dx)
    let used = operands.onThisProcessor
    let joined = Matrix(
      rows: group.outputCount, columns: Self.inputCount,
      values: weights.flatMap { $0.floats(rows: 0..<$0.rowCount) })
    expectClose(outputs, product(x.view, joined.view.transposed, used))
    expectClose(dx, product(dy.view, joined.view, used))
    guard storage == .packed else { return }
    let dW = Matrix(
      rows: group.outputCount, columns: Self.inputCount, values: gradients.flatMap(\.weights))
    expectClose(dW, product(dy.view.transposed, x.view, used))
  }

  /// Windows of a batch follow one another.
  @Test(arguments: kinds)
  func `a window's gradients are added to those before it`(operands: ProductOperands, storage: Storage) {
    var random = SplitMix64(seed: 18)
    var linear = Linear(name: "0", weight: storage.weight(rows: 104, &random))
    linear.adapter = LowRankAdapter(
      kind: .dense, scaling: 0.5, groupSize: 1,
      loraA: Matrix(rows: 16, columns: Self.inputCount, values: uniform(16 * Self.inputCount, &random)),
      loraB: Matrix(rows: 104, columns: 16, values: uniform(104 * 16, &random)))
    var group = LinearGroup([linear])
    group.operands = operands
    let x = matrix(columns: Self.inputCount, &random)
    let dy = matrix(columns: group.outputCount, &random)
    var gradients = group.linears.map { LinearGradients(for: $0, training: [.adapter, .scale, .bias]) }
    var dx = Matrix.unspecified(rows: Self.tokenCount, columns: Self.inputCount)
    group.backward(x: x, dy: dy, gradients: &gradients, into: &dx)
    let once = gradients[0]
    group.backward(x: x, dy: dy, gradients: &gradients, into: &dx)
    let parts: [KeyPath<LinearGradients, [Float]>] = [\.loraA, \.loraB, \.scales, \.biases]
    for part in parts {
      let (one, two) = (once[keyPath: part], gradients[0][keyPath: part])
      expectClose(
        Matrix(rows: 1, columns: two.count, values: two),
        Matrix(rows: 1, columns: one.count, values: one.map { 2 * $0 }))
    }
    #expect(!once.loraB.isEmpty && once.loraB.contains { $0 != 0 })
  }

  @Test(arguments: Storage.allCases)
  func `a single token is rounded to int8 for packed weights alone`(storage: Storage) {
    var random = SplitMix64(seed: 18)
    let group = LinearGroup(
      [40, 104].map { Linear(name: "\($0)", weight: storage.weight(rows: $0, &random)) })
    let x = Matrix(rows: 1, columns: Self.inputCount, values: uniform(Self.inputCount, &random))
    let exact = group.outputs(ofSingle: x)
    let rounded = group.outputs(ofSingle: x, isRounded: true)
    guard storage == .packed else { return #expect(rounded == exact) }
    // 127 steps on each side: about 0.002 of the largest value for each of the inputs.
    #expect((1e-4..<0.01).contains(relativeError(rounded.values, exact.values)))
  }

  @Test func `tables that are kept as bytes change no output`() {
    var random = SplitMix64(seed: 22)
    let (width, rowCounts) = (512, [40, 104])
    let group = LinearGroup(
      rowCounts.map { rowCount in
        let groups = rowCount * width / 16
        let blocks = BlockTables(
          kind: .q2K, scaleSteps: (0..<groups).map { _ in Float(Int.random(in: 0...15, using: &random)) },
          biasSteps: (0..<groups).map { _ in Float(Int.random(in: 0...15, using: &random)) },
          scaleFactors: uniform(groups / 16, &random), biasFactors: uniform(groups / 16, &random))
        let codes = TensorBytes(
          (0..<rowCount * width / 4).map { _ in UInt8.random(in: 0...255, using: &random) })
        let packed = PackedWeight(codes: codes, blocks: blocks)
        return Linear(
          name: "\(rowCount)", weight: Weight(rows: rowCount, columns: width, values: .packed(packed)))
      })
    var kept = group
    kept.keepSteps()
    let x = Matrix(rows: 3, columns: width, values: uniform(3 * width, &random))
    #expect(kept(x) == group(x))
    let token = Matrix(rows: 1, columns: width, values: uniform(width, &random))
    #expect(kept.outputs(ofSingle: token) == group.outputs(ofSingle: token))
    #expect(
      kept.outputs(ofSingle: token, isRounded: true) == group.outputs(ofSingle: token, isRounded: true))
  }

  /// A packed weight's input is rounded in blocks of 32, that of a weight in blocks of a grid in blocks of 256, and
  /// that of a 16-bit weight to its type.
  @Test(arguments: Storage.allCases) func `inputs are rounded as in llama.cpp`(storage: Storage) throws {
    var random = SplitMix64(seed: 19)
    var group = LinearGroup(
      [40, 104].map { Linear(name: "\($0)", weight: storage.weight(rows: $0, &random)) })
    let x = matrix(columns: Self.inputCount, &random)
    let rounded = Matrix(
      rows: x.rowCount, columns: x.columnCount,
      values: try #require(
        [
          .f32: x.values, .bf16: widened(narrowed(x.values, to: .bf16), from: .bf16),
          .packed: inBlocks(x.values, of: 32, scale: .f16),
        ][storage]))
    let expected = group(rounded)
    let exact = group(x)
    group.inputRounding = .int8
    #expect(group(x) == expected)
    #expect((storage == .f32) == (expected == exact))
  }

  @Test func `inputs of linears in one group are rounded for each of them`() {
    var random = SplitMix64(seed: 20)
    let width = 256
    let groups = width / SuperBlock.q2K.groupSize
    let blocks = BlockTables(
      kind: .q2K, scaleSteps: (0..<groups).map { Float($0) }, biasSteps: (0..<groups).map { Float(15 - $0) },
      scaleFactors: [0.5], biasFactors: [0.25])
    let codes = TensorBytes((0..<width / 4).map { _ in UInt8.random(in: 0...255, using: &random) })
    let free = PackedWeight(
      codes: codes, bits: 2, groupSize: 64, scales: uniform(4, &random), biases: uniform(4, &random))
    let weights = [PackedWeight(codes: codes, blocks: blocks), free].map {
      Weight(rows: 1, columns: width, values: .packed($0))
    }
    let linears = weights.map { Linear(name: "linear", weight: $0) }
    let x = Matrix(rows: 3, columns: width, values: uniform(3 * width, &random))
    var both = LinearGroup(linears)
    both.inputRounding = .int8
    let outputs = both(x)
    for (index, (size, format)) in [(256, FloatFormat.f32), (32, .f16)].enumerated() {
      let rounded = Matrix(rows: 3, columns: width, values: inBlocks(x.values, of: size, scale: format))
      let alone = LinearGroup([linears[index]])(rounded)
      #expect((0..<3).map { outputs.values[2 * $0 + index] } == alone.values)
    }
  }

  @Test func `a block that is not finite is not hidden by rounding`() {
    var random = SplitMix64(seed: 21)
    var group = LinearGroup([Linear(name: "0", weight: Storage.packed.weight(rows: 40, &random))])
    group.inputRounding = .int8
    for value in [Float.nan, .infinity] {
      var x = matrix(columns: Self.inputCount, &random)
      x.values[3] = value
      let outputs = group(x)
      #expect(outputs.values[..<40].allSatisfy { !$0.isFinite })
      #expect(outputs.values[40...].allSatisfy { $0.isFinite })
    }
  }

  /// Whole numbers from -127 to 127 times the scale of each block, as a plain loop.
  private func inBlocks(_ values: [Float], of size: Int, scale format: FloatFormat) -> [Float] {
    stride(from: 0, to: values.count, by: size).flatMap { start in
      let block = values[start..<start + size]
      let largest = block.map(\.magnitude).max() ?? 0
      // llama.cpp rounds by another scale than it keeps.
      let scale =
        format == .f32 ? 1 / (127 / largest) : widened(narrowed([largest / 127], to: format), from: format)[0]
      return block.map { scale * ($0 * (127 / largest)).rounded(.toNearestOrEven) }
    }
  }

  /// Rounded operands change results by more than a hundred times what is allowed here.
  private func expectClose(_ result: Matrix, _ expected: Matrix) {
    #expect(relativeError(result.values, expected.values) < 1e-6)
  }

  private func product(
    _ a: MatrixView<Float>, _ b: MatrixView<Float>, _ operands: ProductOperands
  ) -> Matrix {
    var result = Matrix(rows: a.rowCount, columns: b.columnCount)
    var view = result.mutableView
    multiplyReference(a, b, into: &view, operands: operands)
    return result
  }

  private func matrix(columns: Int, _ random: inout SplitMix64) -> Matrix {
    Matrix(rows: Self.tokenCount, columns: columns, values: uniform(Self.tokenCount * columns, &random))
  }
}

private func uniform(_ count: Int, _ random: inout SplitMix64) -> [Float] {
  (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
}
