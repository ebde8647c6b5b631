import Checkpoints
import Testing

struct GGUFRowOrderTests {
  @Test func `heads apart: all queries come first, then all keys, then all values`() {
    // Two heads of two rows: q0 q0 k0 k0 v0 v0 q1 q1 k1 k1 v1 v1 in the checkpoint.
    let order = GGUFRowOrder.headsApart(headCount: 2, rowsPerHead: 2)
    #expect((0..<12).map(order.source(of:)) == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11])
  }

  @Test(arguments: [
    GGUFRowOrder.plain, .interleaved(rowsPerHead: 6), .headsApart(headCount: 3, rowsPerHead: 4),
  ])
  func `each row comes back to its place`(order: GGUFRowOrder) {
    #expect((0..<36).map { order.place(of: order.source(of: $0)) } == Array(0..<36))
  }
}
