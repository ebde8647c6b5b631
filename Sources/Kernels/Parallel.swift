internal import CKernels
import Dispatch
import Foundation
import Synchronization

/// The number of threads that `parallel` may use at once, including the caller's.
///
/// A setting of the whole process, made once at start; a task can override it for itself. Results do not
/// depend on it.
public enum ThreadLimit {
  private static let limit = Atomic<Int>(0)
  @TaskLocal static var override: Int?

  /// The number of threads; all cores until it is set.
  public static var current: Int {
    get {
      if let override { return override }
      let value = limit.load(ordering: .relaxed)
      return value > 0 ? value : coreCount
    }
    set { limit.store(max(1, newValue), ordering: .relaxed) }
  }

  /// Runs `body` with its own number of threads, independently of the rest of the process.
  ///
  /// The number applies to everything that `body` calls, including the threads of `parallel` and
  /// `ConcurrentWork`. Regions of `parallel` then run on exactly this many threads, even if there are fewer
  /// processors.
  ///
  /// - Parameters:
  ///   - count: The number of threads, at least 1.
  ///   - body: What to run.
  /// - Returns: What `body` returns.
  /// - Throws: What `body` throws.
  public static func with<R, E: Error>(_ count: Int, _ body: () throws(E) -> R) throws(E) -> R {
    try with(override: max(1, count), body)
  }

  /// `TaskLocal.withValue` with the error's type.
  static func with<R, E: Error>(override: Int?, _ body: () throws(E) -> R) throws(E) -> R {
    let result: Result<R, E> = $override.withValue(override) {
      do throws(E) { return .success(try body()) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// Runs `body` once for each index in `0..<count`, on several threads, and waits.
///
/// The split never depends on the number of threads, so the result does not either. Inside a chunk of another
/// call, chunks run one after the other because the outer call uses the threads.
///
/// - Parameters:
///   - count: The number of chunks.
///   - body: The work for one chunk; chunks run concurrently and in any order.
/// - Throws: The error of the lowest failing chunk, after every chunk has ended.
public func parallel<E: Error>(chunks count: Int, _ body: @Sendable (Int) throws(E) -> Void) throws(E) {
  let workerCount = min(count, ThreadLimit.current)
  guard workerCount > 1, ck_is_in_region() == 0 else {
    for chunk in 0..<max(count, 0) { try body(chunk) }
    return
  }
  let next = Atomic<Int>(0)
  let failure = Mutex<(chunk: Int, error: E)?>(nil)
  run(onThreads: workerCount) {
    ck_set_in_region(1)
    defer { ck_set_in_region(0) }
    while true {
      let chunk = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard chunk < count else { return }
      do throws(E) {
        try body(chunk)
      } catch {
        failure.withLock { first in
          if chunk < first?.chunk ?? count { first = (chunk, error) }
        }
      }
    }
  }
  if let error = failure.withLock({ $0?.error }) { throw error }
}

/// Runs `worker` on several threads at once, including the caller's, and waits.
private func run(onThreads count: Int, _ worker: @Sendable () -> Void) {
  if WorkerPool.shared.run(onThreads: count, override: ThreadLimit.override, worker) { return }
  // `concurrentPerform` starts no more threads than there are processors.
  guard let override = ThreadLimit.override ?? (count > coreCount ? count : nil) else {
    return DispatchQueue.concurrentPerform(iterations: count) { _ in worker() }
  }
  withoutActuallyEscaping(worker) { worker in
    let group = DispatchGroup()
    for _ in 1..<count {
      // A serial queue gets a thread of its own.
      DispatchQueue(label: "rilq.parallel").async(group: group) {
        ThreadLimit.with(override: override, worker)
      }
    }
    worker()
    group.wait()
  }
}

/// Runs `body` over the rows of a matrix, a chunk of rows at a time, on several threads.
///
/// - Parameters:
///   - values: `[rowCount, columnCount]`, row-major.
///   - columnCount: The length of a row; divides the number of values.
///   - rowsPerChunk: The rows of a chunk; the last one may be shorter.
///   - body: Gets the rows of the chunk, and their values to write.
/// - Throws: The error of the lowest failing chunk, after every chunk has ended.
public func parallelRows<T, E: Error>(
  of values: inout MutableSpan<T>, columnCount: Int, rowsPerChunk: Int,
  _ body: @Sendable (Range<Int>, inout MutableSpan<T>) throws(E) -> Void
) throws(E) {
  precondition(columnCount > 0 && values.count % columnCount == 0 && rowsPerChunk > 0)
  let rowCount = values.count / columnCount
  try unsafe values.withUnsafeMutableBufferPointer { buffer throws(E) in
    // Each chunk touches only its own rows, so sharing the pointer between threads is sound.
    nonisolated(unsafe) let shared = unsafe buffer
    try parallel(chunks: (rowCount + rowsPerChunk - 1) / rowsPerChunk) { chunk throws(E) in
      let rows = chunk * rowsPerChunk..<min(rowCount, (chunk + 1) * rowsPerChunk)
      let part = unsafe UnsafeMutableBufferPointer(
        rebasing: shared[rows.lowerBound * columnCount..<rows.upperBound * columnCount])
      var span = unsafe MutableSpan(_unsafeElements: part)
      try body(rows, &span)
    }
  }
}

/// Runs `body` over the rows of a matrix, a chunk of rows at a time, on several threads.
///
/// - Parameters:
///   - matrix: The matrix.
///   - rowsPerChunk: The rows of a chunk; the last one may be shorter.
///   - body: Gets the rows of the chunk, and that part of the matrix.
package func parallelRows<T: Sendable>(
  of matrix: inout MutableMatrixView<T>, rowsPerChunk: Int,
  _ body: @Sendable (Range<Int>, inout MutableMatrixView<T>) -> Void
) {
  let columns = 0..<matrix.columnCount
  let tiles = stride(from: 0, to: matrix.rowCount, by: rowsPerChunk).map { [rowCount = matrix.rowCount] in
    MatrixTile(rows: $0..<min($0 + rowsPerChunk, rowCount), columns: columns)
  }
  parallelTiles(of: &matrix, tiles) { index, part in body(tiles[index].rows, &part) }
}

/// Some rows and columns of a matrix.
package struct MatrixTile: Sendable, Equatable {
  /// The rows.
  package let rows: Range<Int>
  /// The columns.
  package let columns: Range<Int>

  /// Joins rows and columns.
  package init(rows: Range<Int>, columns: Range<Int>) {
    self.rows = rows
    self.columns = columns
  }

  fileprivate func overlaps(_ other: MatrixTile) -> Bool {
    rows.overlaps(other.rows) && columns.overlaps(other.columns)
  }
}

/// Runs `body` once for each tile of a matrix, on several threads.
///
/// Each call can reach its own tile only.
///
/// - Parameters:
///   - matrix: The matrix.
///   - tiles: The tiles; no two have an element in common.
///   - body: Gets the index of a tile, and that part of the matrix.
package func parallelTiles<T: Sendable>(
  of matrix: inout MutableMatrixView<T>, _ tiles: [MatrixTile],
  _ body: @Sendable (Int, inout MutableMatrixView<T>) -> Void
) {
  precondition(tiles.areDisjoint, "two tiles have an element in common")
  let layout = matrix.layout
  unsafe matrix.elements.withUnsafeMutableBufferPointer { buffer in
    // A view lends only elements of its own rows and columns, and the tiles are disjoint, so sharing the
    // pointer between threads is sound.
    nonisolated(unsafe) let shared = unsafe buffer
    parallel(chunks: tiles.count) { index in
      let elements = unsafe MutableSpan(_unsafeElements: shared)
      var tile = MutableMatrixView(elements, layout[tiles[index].rows, tiles[index].columns])
      body(index, &tile)
    }
  }
}

extension [MatrixTile] {
  /// Whether no two tiles have an element in common.
  fileprivate var areDisjoint: Bool {
    if isInReadingOrder { return true }
    return indices.allSatisfy { i in self[..<i].allSatisfy { !$0.overlaps(self[i]) } }
  }

  /// Whether each tile is to the right of the one before it in the same rows, or below all before it; then
  /// they are disjoint.
  private var isInReadingOrder: Bool {
    zip(self, dropFirst()).allSatisfy { tile, next in
      tile.rows == next.rows
        ? tile.columns.upperBound <= next.columns.lowerBound : tile.rows.upperBound <= next.rows.lowerBound
    }
  }
}

/// Runs `body` once for each element, on several threads.
///
/// Each call can reach its own element only.
///
/// - Parameters:
///   - values: The elements.
///   - body: Gets the index of an element, and the element.
package func parallelElements<T>(
  of values: inout MutableSpan<T>, _ body: @Sendable (Int, inout T) -> Void
) {
  unsafe values.withUnsafeMutableBufferPointer { buffer in
    // Each call gets the address of one element, so sharing the pointer between threads is sound.
    nonisolated(unsafe) let shared = unsafe buffer
    parallel(chunks: unsafe shared.count) { index in
      guard let start = unsafe shared.baseAddress else { return }
      unsafe body(index, &start[index])
    }
  }
}

/// Computes a value for each index in `0..<count`, on several threads.
///
/// - Returns: The values in the order of their indices.
/// - Throws: The error of the lowest failing index.
public func parallelMap<T: Sendable, E: Error>(
  _ count: Int, _ body: @Sendable (Int) throws(E) -> T
) throws(E) -> [T] {
  let values = Mutex([T?](repeating: nil, count: count))
  try parallel(chunks: count) { (index) throws(E) in
    let value = try body(index)
    values.withLock { $0[index] = value }
  }
  return values.withLock { $0.compactMap(\.self) }
}

/// Work on a thread of its own while its owner does something else.
///
/// For work that mostly waits for the disk or is short compared with its owner's work; `ThreadLimit` does not
/// count it.
package final class ConcurrentWork<T: Sendable>: Sendable {
  private let result = Mutex<Result<T, any Error>?>(nil)
  private let group = DispatchGroup()

  /// Starts the work.
  package init(_ body: @escaping @Sendable () throws -> T) {
    let override = ThreadLimit.override
    DispatchQueue.global().async(group: group) { [self] in
      let value = Result { try ThreadLimit.with(override: override, body) }
      result.withLock { $0 = value }
    }
  }

  /// Waits for the work to end.
  ///
  /// - Returns: The result of the work.
  /// - Throws: The error of the work.
  package func value() throws -> T {
    group.wait()
    guard let result = result.withLock({ $0 }) else { preconditionFailure("the work has not ended") }
    return try result.get()
  }
}

/// The number of cores that this machine has now.
let coreCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
