import Foundation
internal import Kernels

/// Memory that is taken from the system and returned to it as soon as it is released.
///
/// The allocator keeps freed memory for the next intermediate result, so that two tensors of a gigabyte, read
/// one after the other, would both stay.
@safe final class PageMemory: Sendable {
  let byteCount: Int
  /// Written only before `init` returns.
  private nonisolated(unsafe) let start: UnsafeMutableRawPointer

  /// Takes memory and fills it, chunk by chunk on several threads.
  ///
  /// - Parameters:
  ///   - byteCount: At least 1.
  ///   - bytesPerChunk: The size of every chunk but the last one.
  ///   - path: The file for errors.
  ///   - fill: Gets the range of the chunk, and the chunk, all zeros.
  /// - Throws: `FormatError.system` when there is no memory, or what `fill` throws.
  init(
    byteCount: Int, bytesPerChunk: Int, path: String,
    _ fill: @Sendable (Range<Int>, inout MutableSpan<UInt8>) throws(FormatError) -> Void
  ) throws(FormatError) {
    let start = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let start = unsafe start, unsafe start != MAP_FAILED else { throw FileSystem.systemError(path) }
    #if os(Linux)
      // Large pages cost fewer faults. If the system ignores the advice, nothing changes.
      _ = unsafe madvise(start, byteCount, MADV_HUGEPAGE)
    #endif
    self.byteCount = byteCount
    unsafe self.start = start
    // If an error is thrown from here on, `deinit` releases the memory.
    let elements = unsafe UnsafeMutableBufferPointer(
      start: start.assumingMemoryBound(to: UInt8.self), count: byteCount)
    var span = unsafe MutableSpan(_unsafeElements: elements)
    try parallelRows(of: &span, columnCount: 1, rowsPerChunk: bytesPerChunk, fill)
  }

  deinit { unsafe munmap(start, byteCount) }

  /// Lends the bytes.
  func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try body(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: byteCount))
  }
}
