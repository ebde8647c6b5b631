/// The bytes of one tensor, held by a mapped file or by memory of their own.
///
/// Keeping it keeps the bytes; copying it does not copy them. When the last copy of mapped bytes goes, their pages
/// leave the process's memory.
public struct TensorBytes: Sendable {
  private enum Owner {
    case mapped(MappedRange)
    case memory([UInt8])
  }

  private let owner: Owner

  /// The number of bytes.
  public var count: Int {
    switch owner {
    case .mapped(let mapped): mapped.range.count
    case .memory(let bytes): bytes.count
    }
  }

  /// Bytes of a mapped file, used in place.
  package init(_ file: MappedFile, range: Range<Int>) {
    owner = .mapped(MappedRange(file, range))
  }

  /// Bytes in memory.
  package init(_ bytes: [UInt8]) {
    owner = .memory(bytes)
  }

  /// Lends the bytes.
  public func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    switch owner {
    case .mapped(let mapped): return try mapped.file.withBytes(in: mapped.range, body)
    case .memory(let bytes): return try body(unsafe bytes.span.bytes)
    }
  }
}

/// A range of a mapped file, whose pages are given back with it.
private final class MappedRange: Sendable {
  let file: MappedFile
  let range: Range<Int>

  init(_ file: MappedFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  deinit { file.discard(range) }
}
