import Kernels
import TestSupport
import Testing

@Suite struct ProcessGroupTests {
  @Test(arguments: [1, 2, 3, 4, 7])
  func `shares follow one another, and differ by one at most`(count: Int) throws {
    for total in [0, 1, 5, 7, 32] {
      let shares = try ThreadGroup.run(count) { $0.share(of: total) }
      #expect(shares.flatMap(Array.init) == Array(0..<total))
      let sizes = shares.map(\.count)
      #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
    }
  }

  @Test(arguments: [1, 2, 4])
  func `every rank gets the lists and texts of all, in order`(count: Int) throws {
    let expected = (0..<count).map { rank in (0..<rank).map { Double($0) / 3 } }
    let lists = try ThreadGroup.run(count) { group in
      try group.gather((0..<group.rank).map { Double($0) / 3 })
    }
    #expect(lists == [[[Double]]](repeating: expected, count: count))
    let texts = try ThreadGroup.run(count) { try $0.gather(String(repeating: "é", count: $0.rank)) }
    #expect(texts == [[String]](repeating: ["", "é", "éé", "ééé"].prefix(count) + [], count: count))
  }

  /// More values than a piece of the chain has.
  private static let valueCount = 300_000

  private static func window(_ index: Int) -> [Float] {
    var random = SplitMix64(seed: UInt64(index))
    return (0..<valueCount).map { _ in Float.random(in: -1...1, using: &random) }
  }

  @Test(arguments: [1, 2, 3, 4, 9])
  func `a sum over ranks has the bits of the sum in the order of the windows`(count: Int) throws {
    var expected = [Float](repeating: 0.25, count: Self.valueCount)
    for index in 0..<7 {
      for (i, value) in Self.window(index).enumerated() { expected[i] += value }
    }
    let sums = try ThreadGroup.run(count) { group in
      // Only what rank 0 begins with counts.
      var sum = [Float](repeating: group.isFirst ? 0.25 : 9, count: Self.valueCount)
      try group.add(group.share(of: 7).map(Self.window), to: &sum)
      return sum
    }
    #expect(sums.allSatisfy { $0 == expected })
  }

  @Test func `large lists reach every rank`() throws {
    let values = (0..<5_000_000).map { Double($0) / 7 }
    let lists = try ThreadGroup.run(3) { group in
      try group.gather(group.rank == 1 ? values : [])
    }
    #expect(lists.allSatisfy { $0 == [[], values, []] })
  }

  @Test func `a rank that fails ends the others`() {
    struct Broken: Error, Equatable {}
    #expect(throws: Broken()) {
      try ThreadGroup.run(3) { group in
        if group.rank == 1 { throw Broken() }
        _ = try group.gather([1])
      }
    }
  }
}
