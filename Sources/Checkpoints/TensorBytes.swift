/// The bytes of one tensor, held by a mapped file or by memory of their own.
///
/// Keeping it keeps the bytes; copying it does not copy them.
public struct TensorBytes: Sendable {
  private enum Owner {
    case mapped(MappedFile)
    case memory([UInt8])
  }

  private let owner: Owner
  private let range: Range<Int>

  /// The number of bytes.
  public var count: Int { range.count }

  /// Bytes of a mapped file, used in place.
  package init(_ file: MappedFile, range: Range<Int>) {
    owner = .mapped(file)
    self.range = range
  }

  /// Bytes in memory.
  package init(_ bytes: [UInt8]) {
    owner = .memory(bytes)
    range = 0..<bytes.count
  }

  /// Lends the bytes.
  public func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    switch owner {
    case .mapped(let file): return try file.withBytes(in: range, body)
    case .memory(let bytes): return try body(unsafe bytes.span.bytes)
    }
  }
}
