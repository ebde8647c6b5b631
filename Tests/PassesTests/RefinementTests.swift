import Kernels
import Passes
import Testing

@Suite struct RefinementTests {
  private static let order = 128

  private func moments() -> SecondMoments { correlatedMoments(order: Self.order, rows: 300) }

  private func codes(of packed: PackedTensor, bits: Int) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: packed.codes.count * 8 / bits)
    var span = codes.mutableSpan
    let bytes = packed.codes.span
    unpackCodes(unsafe bytes.bytes, bits: bits, into: &span)
    return codes
  }

  /// The layer error of each row, in double precision.
  private func errors(
    _ packed: PackedTensor, _ weights: [Float], _ grid: QuantizationGrid, _ means: [Double]
  ) -> [Double] {
    let codes = codes(of: packed, bits: grid.bits)
    return stride(from: 0, to: weights.count, by: Self.order).map { start in
      let difference = (start..<start + Self.order).map { i in
        let group = i / grid.groupSize
        return Double(codes[i]) * Double(packed.scales[group]) + Double(packed.biases[group])
          - Double(weights[i])
      }
      var error = 0.0
      for i in 0..<Self.order {
        for j in 0..<Self.order { error += difference[i] * means[i * Self.order + j] * difference[j] }
      }
      return error
    }
  }

  private func refinement(
    _ grid: QuantizationGrid, _ moments: SecondMoments, refits: Bool, sweeps: Int
  ) -> Refinement {
    Refinement(
      grid: grid, moments: MomentMatrix(moments),
      steps: Refinement.Steps(refits: refits, sweeps: sweeps))
  }

  @Test(
    arguments: [(2, 32, FloatFormat.f32), (2, 64, .bf16), (3, 64, .f16), (4, 128, .f32), (8, 32, .bf16)],
    [(true, 0), (false, 3), (true, 3)])
  func `no row's error rises, whatever is refined`(
    shape: (bits: Int, groupSize: Int, tables: FloatFormat), steps: (refits: Bool, sweeps: Int)
  ) throws {
    let grid = QuantizationGrid(bits: shape.bits, groupSize: shape.groupSize, tables: shape.tables)
    let moments = moments()
    let weights = noise("weights", count: 21 * Self.order, size: 0.1)
    let bases: [any RowQuantizer] = [
      RoundToNearest(grid: grid), ClipSearch(grid: grid, importance: moments.importance),
      GPTQ(
        grid: grid, try GPTQFeedback(moments: MomentMatrix(moments), damping: 0.01, activationOrder: false)),
    ]
    for base in bases {
      let before = try base.quantizeRows(weights, columns: Self.order)
      var after = before
      refinement(grid, moments, refits: steps.refits, sweeps: steps.sweeps).refine(&after, of: weights)
      let (old, new) = (
        errors(before, weights, grid, moments.means), errors(after, weights, grid, moments.means)
      )
      // The gradient is kept in single precision.
      for (old, new) in zip(old, new) { #expect(new <= old * (1 + 1e-4)) }
      #expect(new.reduce(0, +) < old.reduce(0, +))
    }
  }

  @Test func `refit and sweeps together are better than either alone`() throws {
    let grid = QuantizationGrid(bits: 2, groupSize: 64, tables: .f32)
    let moments = moments()
    let weights = noise("weights", count: 64 * Self.order, size: 0.1)
    let base = try ClipSearch(grid: grid, importance: moments.importance)
      .quantizeRows(weights, columns: Self.order)
    let totals = [(false, 0), (true, 0), (false, 4), (true, 4)].map { refits, sweeps in
      var packed = base
      refinement(grid, moments, refits: refits, sweeps: sweeps).refine(&packed, of: weights)
      return errors(packed, weights, grid, moments.means).reduce(0, +)
    }
    #expect(totals[1] < 0.9 * totals[0] && totals[2] < 0.9 * totals[0])
    #expect(totals[3] < 0.95 * min(totals[1], totals[2]))
  }

  @Test(arguments: [FloatFormat.f32, .bf16])
  func `a refit knows the error of the outputs`(tables: FloatFormat) throws {
    let grid = QuantizationGrid(bits: 2, groupSize: 32, tables: tables)
    let moments = moments()
    let weights = noise("weights", count: 21 * Self.order, size: 0.1)
    var packed = try RoundToNearest(grid: grid).quantizeRows(weights, columns: Self.order)
    #expect(packed.outputSquares == nil)
    refinement(grid, moments, refits: true, sweeps: 1).refine(&packed, of: weights)
    let squares = try #require(packed.outputSquares)
    let error = errors(packed, weights, grid, moments.means).reduce(0, +)
    var nothing = packed
    (nothing.scales, nothing.biases) = (packed.scales.map { _ in 0 }, packed.biases.map { _ in 0 })
    let norm = errors(nothing, weights, grid, moments.means).reduce(0, +)
    // The error is what is left of the norm, whose sums are in single precision.
    #expect(abs(squares.norm / norm - 1) < 1e-5)
    #expect(abs(squares.error - error) < 1e-5 * norm)
  }

  @Test func `nothing to do changes nothing`() throws {
    let grid = QuantizationGrid(bits: 2, groupSize: 64, tables: .f32)
    let weights = noise("weights", count: 5 * Self.order, size: 0.1)
    let before = try RoundToNearest(grid: grid).quantizeRows(weights, columns: Self.order)
    var after = before
    refinement(grid, moments(), refits: false, sweeps: 0).refine(&after, of: weights)
    #expect(after.codes == before.codes && after.scales == before.scales && after.biases == before.biases)
  }

  @Test func `rows do not depend on those beside them`() throws {
    let grid = QuantizationGrid(bits: 2, groupSize: 32, tables: .f32)
    let refinement = refinement(grid, moments(), refits: true, sweeps: 2)
    let quantizer = RefinedQuantizer(RoundToNearest(grid: grid), refinement)
    let weights = noise("weights", count: 40 * Self.order, size: 0.1)
    let whole = try quantizer.quantizeRows(weights, columns: Self.order)
    let alone = try quantizer.quantizeRows(
      Array(weights[33 * Self.order..<34 * Self.order]), columns: Self.order)
    #expect(alone.codes == Array(whole.codes[33 * Self.order / 4..<34 * Self.order / 4]))
    #expect(alone.scales == Array(whole.scales[33 * 4..<34 * 4]))
  }

  @Test func `weights of zero stay zero, whatever format the tables have`() throws {
    let grid = QuantizationGrid(bits: 2, groupSize: 64, tables: .f16)
    let moments = moments()
    let gptq = GPTQ(
      grid: grid, try GPTQFeedback(moments: MomentMatrix(moments), damping: 0.01, activationOrder: false))
    let quantizer = RefinedQuantizer(gptq, refinement(grid, moments, refits: true, sweeps: 1))
    let weights = [Float](repeating: 0, count: 3 * Self.order)
    let packed = try quantizer.quantizeRows(weights, columns: Self.order)
    let worst = errors(packed, weights, grid, moments.means).max() ?? .infinity
    #expect(worst < 1e-12)
  }
}
