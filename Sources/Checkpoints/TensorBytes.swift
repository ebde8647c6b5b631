/// The bytes of one tensor, held by a mapped file or by memory of their own.
///
/// It keeps the bytes alive; copying it does not copy them. When the last copy of mapped bytes is released,
/// their pages leave the process's memory.
public struct TensorBytes: Sendable {
  private enum Owner {
    case mapped(MappedRange)
    case memory([UInt8])
    case pages(PageMemory)
  }

  private let owner: Owner

  /// The number of bytes.
  public var count: Int {
    switch owner {
    case .mapped(let mapped): mapped.range.count
    case .memory(let bytes): bytes.count
    case .pages(let pages): pages.byteCount
    }
  }

  /// Bytes of a mapped file, used in place.
  package init(_ file: MappedFile, range: Range<Int>) {
    owner = .mapped(MappedRange(file, range))
  }

  /// Bytes in memory.
  public init(_ bytes: [UInt8]) {
    owner = .memory(bytes)
  }

  /// Bytes in memory that is returned to the system with the tensor, filled chunk by chunk on several
  /// threads.
  ///
  /// - Parameters:
  ///   - byteCount: The size of the tensor.
  ///   - bytesPerChunk: The size of every chunk but the last one.
  ///   - path: The file for errors.
  ///   - fill: Gets the range of the chunk, and the chunk, all zeros.
  /// - Throws: `FormatError.system` when there is no memory, or what `fill` throws.
  init(
    byteCount: Int, bytesPerChunk: Int, path: String,
    filling fill: @Sendable (Range<Int>, inout MutableSpan<UInt8>) throws(FormatError) -> Void
  ) throws(FormatError) {
    guard byteCount > 0 else {
      owner = .memory([])
      return
    }
    owner = .pages(
      try PageMemory(byteCount: byteCount, bytesPerChunk: bytesPerChunk, path: path, fill))
  }

  /// Removes the pages of a mapped file from this process's memory until they are read again.
  ///
  /// Bytes that are in memory of their own stay.
  package func discardPages() {
    if case .mapped(let mapped) = owner { mapped.file.discard(mapped.range) }
  }

  /// The bytes of a range; those of a mapped file stay where they are, others are copied.
  ///
  /// - Parameter range: Byte offsets from the start of these bytes; must lie inside them.
  /// - Returns: As many bytes as the range has.
  package func slice(_ range: Range<Int>) -> TensorBytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) of \(count) bytes")
    if case .mapped(let mapped) = owner {
      let start = mapped.range.lowerBound
      return TensorBytes(mapped.file, range: start + range.lowerBound..<start + range.upperBound)
    }
    return TensorBytes(withSpan { $0.extracting(range).copiedBytes() })
  }

  /// Lends the bytes.
  public func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    switch owner {
    case .mapped(let mapped): return try mapped.file.withBytes(in: mapped.range, body)
    case .memory(let bytes): return try body(unsafe bytes.span.bytes)
    case .pages(let pages): return try pages.withSpan(body)
    }
  }
}

/// A range of a mapped file; its pages are released with it.
private final class MappedRange: Sendable {
  let file: MappedFile
  let range: Range<Int>

  init(_ file: MappedFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  deinit { file.discard(range) }
}
