import Synchronization

/// Memory for intermediate results that is reused instead of being freed.
///
/// Unused memory is bounded: at most 32 MiB per processor and type of element. Larger arrays are freed at
/// once.
package final class ScratchPool: Sendable {
  private static let bytesPerProcessor = 1 << 25
  private let floats: FreeArrays<Float>
  private let doubles: FreeArrays<Double>
  private let bytes: FreeArrays<UInt8>

  /// The pool of the products and of attention.
  package static let shared = ScratchPool(keptBytes: bytesPerProcessor * coreCount)

  /// An empty pool.
  ///
  /// - Parameter keptBytes: The maximum number of unused bytes to keep per type of element.
  package init(keptBytes: Int) {
    floats = FreeArrays(limit: keptBytes / MemoryLayout<Float>.stride)
    doubles = FreeArrays(limit: keptBytes / MemoryLayout<Double>.stride)
    bytes = FreeArrays(limit: keptBytes)
  }

  /// The number of unused bytes that are kept.
  package var keptBytes: Int {
    floats.count * MemoryLayout<Float>.stride + doubles.count * MemoryLayout<Double>.stride + bytes.count
  }

  /// Lends `count` floats of unspecified value.
  package func withScratch<R>(_ count: Int, _ body: (inout MutableSpan<Float>) -> R) -> R {
    floats.lend(count, body)
  }

  /// Lends a matrix of floats of unspecified value.
  package func withMatrix<R>(
    rows: Int, columns: Int, _ body: (inout MutableMatrixView<Float>) -> R
  ) -> R {
    floats.lend(rows * columns) { elements in
      var matrix = MutableMatrixView(&elements, rows: rows, columns: columns)
      return body(&matrix)
    }
  }

  /// Lends `count` doubles of unspecified value.
  package func withDoubles<R>(_ count: Int, _ body: (inout MutableSpan<Double>) -> R) -> R {
    doubles.lend(count, body)
  }

  /// Lends `count` bytes of unspecified value.
  package func withBytes<R>(_ count: Int, _ body: (inout MutableSpan<UInt8>) -> R) -> R {
    bytes.lend(count, body)
  }
}

/// Unused arrays with a bounded total number of elements.
private final class FreeArrays<Element: Sendable & ExpressibleByIntegerLiteral>: Sendable {
  private let limit: Int
  private let free = Mutex<(arrays: [[Element]], count: Int)>(([], 0))

  init(limit: Int) { self.limit = limit }

  var count: Int { free.withLock { $0.count } }

  func lend<R>(_ count: Int, _ body: (inout MutableSpan<Element>) -> R) -> R {
    var memory = take()
    if memory.count < count { memory = [Element](repeating: 0, count: count) }
    defer { giveBack(memory) }
    var all = memory.mutableSpan
    var part = all.slice(0..<count)
    return body(&part)
  }

  private func take() -> [Element] {
    free.withLock { free in
      let memory = free.arrays.popLast() ?? []
      free.count -= memory.count
      return memory
    }
  }

  private func giveBack(_ memory: [Element]) {
    free.withLock { free in
      guard free.count + memory.count <= limit else { return }
      free.arrays.append(memory)
      free.count += memory.count
    }
  }
}
