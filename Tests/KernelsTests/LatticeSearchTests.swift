import Kernels
import TestSupport
import Testing

@Suite struct LatticeSearchTests {
  private static let magnitudes: [Float] = [8, 25, 43]

  /// Some distinct points of all 6,561.
  private func points(_ count: Int) -> [UInt16] {
    let order = randomFloats(6561, seed: 9)
    return order.indices.sorted { order[$0] < order[$1] }.prefix(count).map { number in
      var (rest, word) = (number, UInt16(0))
      for j in 0..<8 {
        word |= UInt16(rest % 3) << UInt16(2 * j)
        rest /= 3
      }
      return word
    }
  }

  /// A search of some rows, whose weights reach beyond the largest magnitude.
  private struct Search {
    let tree: LatticeTree
    let form: LatticeForm
    let first: Int
    let targets: [Float]
    let weights: [Float]
    let scales: [Float]

    init(_ points: [UInt16], isEven: Bool, rows: Int, share: Float = 0.3) {
      tree = LatticeTree(points: points, magnitudes: LatticeSearchTests.magnitudes, isEven: isEven)
      form = LatticeForm(
        shares: randomFloats(256, seed: 1, size: share),
        diagonal: randomFloats(16, seed: 2).map { $0 * $0 + 0.1 })
      first = 5
      targets = randomFloats(8 * rows, seed: 3, size: 2)
      let differences = randomFloats(8 * rows, seed: 4, size: share == 0 ? 0 : 0.2)
      weights = zip(targets, differences).map { $0 + $1 }
      scales = randomFloats(rows, seed: 5, size: 0.02).map { abs($0) + 0.03 }
    }

    func run(
      _ search: (
        LatticeTree, LatticeForm, Int, Span<Float>, Span<Float>, Span<Float>, inout MutableSpan<Float>,
        inout MutableSpan<Float>
      ) -> Void
    ) -> (points: [Float], costs: [Float]) {
      var points = [Float](repeating: 7, count: targets.count)
      var costs = [Float](repeating: 7, count: scales.count)
      var pointSpan = points.mutableSpan
      var costSpan = costs.mutableSpan
      search(tree, form, first, targets.span, weights.span, scales.span, &pointSpan, &costSpan)
      return (points, costs)
    }

    func found(on set: InstructionSet = .best) -> (points: [Float], costs: [Float]) {
      run {
        findPoints($0, $1, first: $2, targets: $3, weights: $4, scales: $5, points: &$6, costs: &$7, on: set)
      }
    }

    func expected() -> (points: [Float], costs: [Float]) {
      run {
        findPointsReference($0, $1, first: $2, targets: $3, weights: $4, scales: $5, points: &$6, costs: &$7)
      }
    }
  }

  private func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

  @Test(arguments: InstructionSet.supported, [false, true])
  func `finds the points that the plain loop finds, bit by bit`(set: InstructionSet, isEven: Bool) {
    for (count, rows) in [(1, 16), (40, 48), (300, 32)] {
      let search = Search(points(count), isEven: isEven, rows: rows)
      let (found, expected) = (search.found(on: set), search.expected())
      #expect(bits(found.points) == bits(expected.points))
      #expect(bits(found.costs) == bits(expected.costs))
    }
  }

  @Test(arguments: [false, true])
  func `without shares, no point with any signs is nearer`(isEven: Bool) {
    let (points, rows) = (points(60), 16)
    let search = Search(points, isEven: isEven, rows: rows, share: 0)
    let found = search.found()
    for row in 0..<rows {
      var least = Double.infinity
      for point in points {
        for signs in 0..<256 where !isEven || signs.nonzeroBitCount % 2 == 0 {
          var cost = 0.0
          for j in 0..<8 {
            let magnitude = Self.magnitudes[LatticeTree.index(in: point, of: j)]
            let value = Double(search.scales[row] * magnitude) * (signs >> j & 1 == 0 ? 1 : -1)
            let error = value - Double(search.targets[j * rows + row])
            cost += error * error * Double(search.form.diagonal[search.first + j])
          }
          least = min(least, cost)
        }
      }
      // Eight products and sums in single precision.
      #expect(abs(Double(found.costs[row]) - least) < 1e-5 * least)
    }
  }

  @Test func `the cost is that of the values, and an even number is negative`() {
    let rows = 32
    let search = Search(points(200), isEven: true, rows: rows)
    let found = search.found()
    for row in 0..<rows {
      let values = (0..<8).map { found.points[$0 * rows + row] }
      #expect(values.count { $0 < 0 } % 2 == 0)
      var (errors, cost) = ([Double](), 0.0)
      for j in 0..<8 {
        let value = Double(search.scales[row] * values[j])
        var target = Double(search.targets[j * rows + row])
        for (k, error) in errors.enumerated() {
          target -= Double(search.form.shares[(search.first + j) * 16 + search.first + k]) * error
        }
        cost += (value - target) * (value - target) * Double(search.form.diagonal[search.first + j])
        errors.append(value - Double(search.weights[j * rows + row]))
      }
      #expect(abs(Double(found.costs[row]) - cost) < 1e-5 * cost)
    }
  }

  @Test func `a scale of zero gives some point`() {
    let search = Search(points(50), isEven: true, rows: 16, share: 0)
    let zero = [Float](repeating: 0, count: 16)
    var values = [Float](repeating: 0, count: 128)
    var costs = zero
    var span = values.mutableSpan
    var costSpan = costs.mutableSpan
    findPoints(
      search.tree, search.form, first: 0, targets: search.targets.span, weights: search.targets.span,
      scales: zero.span, points: &span, costs: &costSpan)
    #expect(values.allSatisfy { Self.magnitudes.contains(abs($0)) })
    #expect(costs.allSatisfy { $0.isFinite })
  }
}
