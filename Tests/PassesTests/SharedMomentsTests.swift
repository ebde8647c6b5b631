import Kernels
import Passes
import TestSupport
import Testing

/// Moments of windows that several ranks share.
@Suite struct SharedMomentsTests {
  /// Several tiles, and more than one piece of the chain.
  private static let order = 700
  private static let windowCount = 5
  /// So unlike that doubles round their sums, which then depend on the order.
  private static let sizes: [Float] = [2, 3e-5, 2e5, 0.01, 7e-6]

  private static func window(_ index: Int, _ name: String) -> Matrix {
    let rows = 3 + index
    return Matrix(
      rows: rows, columns: order, values: noise("\(name) \(index)", count: rows * order, size: sizes[index]))
  }

  @Test(arguments: [1, 2, 3, 4, 6])
  func `have the bits of those of one process`(count: Int) throws {
    var own = SecondMoments(order: Self.order)
    var cross = CrossMoments(rows: Self.order, columns: Self.order)
    for index in 0..<Self.windowCount {
      own.add(Self.window(index, "x"))
      cross.add(Self.window(index, "y"), 0..<Self.order, Self.window(index, "x"))
    }
    let results = try ThreadGroup.run(count) { group -> (SecondMoments, CrossMoments) in
      var own = SecondMoments(order: Self.order)
      var cross = CrossMoments(rows: Self.order, columns: Self.order)
      let share = group.share(of: Self.windowCount)
      try own.add(share.map { Self.window($0, "x") }, operands: .f32, over: group)
      try cross.add(
        share.map { (x: Self.window($0, "y"), y: Self.window($0, "x")) }, operands: .f32, over: group)
      return (own, cross)
    }
    for (shared, sharedCross) in results {
      #expect(shared.count == own.count)
      #expect(shared.means == own.means)
      #expect(sharedCross.means == cross.means)
    }
  }
}
