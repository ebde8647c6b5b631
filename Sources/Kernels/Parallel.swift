internal import CKernels
import Dispatch
import Synchronization

/// How many threads `parallel` may use at once, the caller's included.
///
/// A setting of the whole process, made once at start; results do not depend on it.
public enum ThreadLimit {
  private static let limit = Atomic<Int>(0)

  /// The number of threads; all cores until it is set.
  public static var current: Int {
    get {
      let value = limit.load(ordering: .relaxed)
      return value > 0 ? value : coreCount
    }
    set { limit.store(max(1, newValue), ordering: .relaxed) }
  }
}

/// Runs `body` once for each index in `0..<count`, on several threads, and waits.
///
/// The split never depends on the number of threads, so neither does the result. Inside a chunk of another call the
/// chunks run one after the other: the outer split has taken the threads.
///
/// - Parameters:
///   - count: The number of chunks.
///   - body: The work for one chunk; chunks run in any order and at once.
/// - Throws: The error of the lowest failing chunk, after every chunk has ended.
public func parallel<E: Error>(chunks count: Int, _ body: @Sendable (Int) throws(E) -> Void) throws(E) {
  let workerCount = min(count, ThreadLimit.current)
  guard workerCount > 1, ck_is_in_region() == 0 else {
    for chunk in 0..<max(count, 0) { try body(chunk) }
    return
  }
  let next = Atomic<Int>(0)
  let failure = Mutex<(chunk: Int, error: E)?>(nil)
  DispatchQueue.concurrentPerform(iterations: workerCount) { _ in
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

/// Runs `body` once for each chunk with the whole of `values` to write to, on several threads.
///
/// The chunks must write to different elements and read none that another one writes: for tiles of a matrix,
/// whose elements are not contiguous. `parallelRows` is safer where rows suffice.
///
/// - Parameters:
///   - values: What all chunks write to.
///   - count: The number of chunks.
///   - body: Gets the index of the chunk and all values.
public func parallelTiles<T>(
  of values: inout MutableSpan<T>, count: Int, _ body: @Sendable (Int, inout MutableSpan<T>) -> Void
) {
  unsafe values.withUnsafeMutableBufferPointer { buffer in
    // The chunks keep to their own elements (see above), so sharing the pointer is sound.
    nonisolated(unsafe) let shared = unsafe buffer
    parallel(chunks: count) { chunk in
      var span = unsafe MutableSpan(_unsafeElements: shared)
      body(chunk, &span)
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
/// For work that mostly waits for the disk or is short beside what its owner does; it is not counted in `ThreadLimit`.
package final class ConcurrentWork<T: Sendable>: Sendable {
  private let result = Mutex<Result<T, any Error>?>(nil)
  private let group = DispatchGroup()

  /// Starts the work.
  package init(_ body: @escaping @Sendable () throws -> T) {
    DispatchQueue.global().async(group: group) { [self] in
      let value = Result(catching: body)
      result.withLock { $0 = value }
    }
  }

  /// Waits for the work to end.
  ///
  /// - Returns: What it gave.
  /// - Throws: What it threw.
  package func value() throws -> T {
    group.wait()
    guard let result = result.withLock({ $0 }) else { preconditionFailure("the work has not ended") }
    return try result.get()
  }
}

#if canImport(Glibc)
  import Glibc
  private let coreCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
#else
  import Foundation
  private let coreCount = ProcessInfo.processInfo.activeProcessorCount
#endif
