import Foundation
import Kernels
import Synchronization
import Testing

@Suite struct ParallelTests {
  /// Where threads wait for each other: all go on when a number of them has come.
  private final class Barrier: Sendable {
    private let needed: Int
    private let arrived = Atomic<Int>(0)

    init(needed: Int) { self.needed = needed }

    /// Returns whether the others came within a time that is long enough for any machine.
    func wait() -> Bool {
      arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
      let end = ContinuousClock.now + .seconds(60)
      while arrived.load(ordering: .sequentiallyConsistent) < needed {
        if ContinuousClock.now > end { return false }
        usleep(100)
      }
      return true
    }
  }

  @Test(arguments: [2, 3, 5])
  func `runs on as many threads at once as were asked for`(count: Int) {
    let barrier = Barrier(needed: count)
    let results = ThreadLimit.with(count) { parallelMap(count) { _ in barrier.wait() } }
    #expect(results == [Bool](repeating: true, count: count))
  }

  @Test func `runs one chunk after the other on one thread`() {
    let running = Atomic<Int>(0)
    let most = Mutex(0)
    ThreadLimit.with(1) {
      parallel(chunks: 20) { _ in
        let now = running.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
        most.withLock { $0 = max($0, now) }
        usleep(100)
        running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      }
    }
    #expect(most.withLock { $0 } == 1)
  }

  @Test func `chunks inside of a chunk run on its thread`() {
    let moved = Atomic<Int>(0)
    ThreadLimit.with(4) {
      parallel(chunks: 4) { _ in
        let thread = pthread_self()
        parallel(chunks: 8) { _ in
          usleep(100)
          if pthread_self() != thread { moved.wrappingAdd(1, ordering: .sequentiallyConsistent) }
        }
      }
    }
    #expect(moved.load(ordering: .sequentiallyConsistent) == 0)
  }

  @Test func `a limit holds in the threads it starts, and only there`() throws {
    let before = ThreadLimit.current
    let seen = ThreadLimit.with(3) { parallelMap(30) { _ in ThreadLimit.current } }
    #expect(seen == [Int](repeating: 3, count: 30))
    let inWork = try ThreadLimit.with(4) { try ConcurrentWork { ThreadLimit.current }.value() }
    #expect(inWork == 4)
    #expect(ThreadLimit.current == before)
  }

  @Test func `a limit of nothing is one thread`() {
    #expect(ThreadLimit.with(0) { ThreadLimit.current } == 1)
  }

  /// Several owners take turns at the threads that stay, far more threads than processors, so that each stops
  /// at every place.
  @Test func `many short regions of many threads all run to their end`() {
    let sums = Mutex<[Int]>([])
    DispatchQueue.concurrentPerform(iterations: 4) { owner in
      var sum = 0
      for region in 0..<4_000 {
        let count = 2 + (region + owner) % 7
        let numbers = ThreadLimit.with(count) { parallelMap(count) { $0 + region } }
        sum += numbers.reduce(0, +) - count * region - count * (count - 1) / 2
      }
      sums.withLock { $0.append(sum) }
    }
    #expect(sums.withLock { $0 } == [0, 0, 0, 0])
  }

  @Test func `an error passes through a limit`() {
    struct Failure: Error, Equatable {}
    #expect(throws: Failure()) { try ThreadLimit.with(2) { () throws(Failure) in throw Failure() } }
  }

  @Test(arguments: [1, 3])
  func `each tile is written at its own place`(threads: Int) {
    let ranges = [0..<3, 3..<5, 5..<9]
    let tiles = ranges.flatMap { rows in ranges.map { MatrixTile(rows: rows, columns: $0) } }.reversed()
    var matrix = Matrix(rows: 10, columns: 9)
    var view = matrix.mutableView
    ThreadLimit.with(threads) {
      parallelTiles(of: &view, Array(tiles)) { index, tile in
        for i in 0..<tile.rowCount {
          var row = tile.row(i)
          for j in row.indices { row[j] += Float(index + 1) }
        }
      }
    }
    for (index, tile) in tiles.enumerated() {
      for row in tile.rows {
        for column in tile.columns { #expect(matrix.values[row * 9 + column] == Float(index + 1)) }
      }
    }
    #expect(matrix.values[90 - 9..<90].allSatisfy { $0 == 0 })
  }

  @Test func `tiles that share an element are refused`() async {
    await #expect(processExitsWith: .failure) {
      var matrix = Matrix(rows: 4, columns: 4)
      var view = matrix.mutableView
      let tiles = [MatrixTile(rows: 0..<2, columns: 0..<4), MatrixTile(rows: 1..<4, columns: 3..<4)]
      parallelTiles(of: &view, tiles) { _, _ in }
    }
  }

  @Test func `each element is changed by its own call`() {
    var values = (0..<100).map { "\($0)" }
    var span = values.mutableSpan
    ThreadLimit.with(3) { parallelElements(of: &span) { index, value in value += "/\(index)" } }
    #expect(values == (0..<100).map { "\($0)/\($0)" })
  }
}

@Suite struct MatrixViewTests {
  private let matrix = Matrix(rows: 3, columns: 4, values: (0..<12).map { Float($0) })

  private func elements(of view: MatrixView<Float>) -> [[Float]] {
    (0..<view.rowCount).map { i in
      let row = view.row(i)
      return row.indices.map { row[$0] }
    }
  }

  @Test func `rows and columns are cut out of a view and of its parts`() {
    #expect(elements(of: matrix.view[1..<3, 1..<3]) == [[5, 6], [9, 10]])
    #expect(elements(of: matrix.view[rows: 1..<3][columns: 3..<4]) == [[7], [11]])
    #expect(elements(of: matrix.view.transposed[1..<3, 0..<2].transposed) == [[1, 2], [5, 6]])
  }

  @Test func `a single row can be taken as several`() {
    var copy = matrix
    var view = copy.mutableView
    var row = view[1..<2, 0..<4]
    var square = row.reshaped(rows: 2, columns: 2)
    var last = square.row(1)
    last[0] = 100
    #expect(elements(of: copy.view) == [[0, 1, 2, 3], [4, 5, 100, 7], [8, 9, 10, 11]])
  }

  @Test func `a view that its span does not hold is refused`() async {
    await #expect(processExitsWith: .failure) {
      let values = [Float](repeating: 0, count: 11)
      _ = MatrixView(values.span, rows: 3, columns: 4).rowCount
    }
  }
}

@Suite struct ScratchPoolTests {
  @Test func `keeps what was used for the next time, up to a limit`() {
    let pool = ScratchPool(keptBytes: 1000)
    pool.withScratch(200) { _ in }
    #expect(pool.keptBytes == 800)
    pool.withScratch(100) { scratch in
      #expect(scratch.count == 100)
      // Lent, so that it is not kept at the moment.
      #expect(pool.keptBytes == 0)
      pool.withScratch(100) { _ in }
      #expect(pool.keptBytes == 400)
    }
    // The first one does not fit beside the second any more.
    #expect(pool.keptBytes == 400)
    pool.withDoubles(1000) { _ in }
    pool.withBytes(600) { _ in }
    #expect(pool.keptBytes == 1000)
  }
}

@Suite struct DampedCholeskyTests {
  private let damping = DampedCholesky(first: 0.01, unit: 1, growth: 10)

  private func factor(
    _ matrix: [Double], _ damping: DampedCholesky
  ) throws(FactorizationError) -> (matrix: [Double], added: Double) {
    var matrix = matrix
    let added = try damping.factor(&matrix, order: 2) { choleskyFactor(of: $0, order: $1) }.added
    return (matrix, added)
  }

  @Test func `adds the first amount to a definite matrix`() throws {
    let (matrix, added) = try factor([2, 1, 1, 2], damping)
    #expect(added == 0.01 && matrix == [2.01, 1, 1, 2.01])
  }

  @Test func `adds more until the matrix is definite`() throws {
    let (matrix, added) = try factor([1, 3, 3, 1], damping)
    #expect(abs(added - 10) < 1e-12)
    #expect(abs(matrix[0] - 11) < 1e-12 && matrix[1] == 3)
  }

  @Test(arguments: [Double.nan, .infinity], 0..<4)
  func `refuses what is not finite, wherever it is`(value: Double, index: Int) {
    var matrix: [Double] = [2, 1, 1, 2]
    matrix[index] = value
    #expect(throws: FactorizationError.notFinite) { try factor(matrix, damping) }
  }

  @Test(arguments: [
    DampedCholesky(first: 0.01, unit: -1, growth: 2), DampedCholesky(first: 0.01, unit: 0, growth: 2),
    DampedCholesky(first: 0, unit: 1, growth: 2), DampedCholesky(first: 0.01, unit: .nan, growth: 2),
  ])
  func `refuses what its amounts never make definite`(damping: DampedCholesky) {
    #expect(throws: FactorizationError.notDefinite) { try factor([-1, 0, 0, -1], damping) }
  }

  @Test func `ends when nothing can be factored`() {
    var attempts = 0
    var matrix: [Double] = [1e300, 0, 0, 1e300]
    #expect(throws: FactorizationError.notDefinite) {
      _ = try DampedCholesky(first: 1e-300, unit: 1, growth: 2).factor(&matrix, order: 2) { _, _ in
        attempts += 1
        return nil as Int?
      }
    }
    #expect((1...2100).contains(attempts))
  }
}
