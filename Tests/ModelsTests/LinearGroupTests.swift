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
