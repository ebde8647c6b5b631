import Foundation

/// Reading of little-endian numbers at checked offsets: the only place that reads raw memory.
extension RawSpan {
  /// The byte at an offset inside the span.
  package func byte(at offset: Int) -> UInt8 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
  }

  /// A little-endian integer at an offset inside the span, aligned or not.
  package func integer<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: T.Type = T.self) -> T
  {
    T(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
  }

  /// The bytes as an array.
  package func copiedBytes() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe Array($0) }
  }

  /// The text in a range of offsets, or nil when it is not UTF-8.
  package func string(in range: Range<Int>) -> String? {
    // `String(validating:as:)` is generic, not specialized, and several times slower.
    guard let text = try? UTF8Span(validating: unsafe extracting(range)._unsafeView(as: UInt8.self)) else {
      return nil
    }
    return String(copying: text)
  }

  /// Whether the bytes begin with those of a text.
  package func starts(with prefix: StaticString) -> Bool {
    byteCount >= prefix.utf8CodeUnitCount
      && string(in: 0..<prefix.utf8CodeUnitCount) == prefix.description
  }

  /// Whether another span has the same bytes.
  package func isEqual(to other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    return unsafe withUnsafeBytes { first in
      unsafe other.withUnsafeBytes { second in
        guard let a = first.baseAddress, let b = second.baseAddress else { return true }
        return unsafe memcmp(a, b, first.count) == 0
      }
    }
  }

  /// Compares bytewise: below, at or above 0 if these bytes come before, equal or come after the others.
  package func order(to other: RawSpan) -> Int {
    unsafe withUnsafeBytes { first in
      unsafe other.withUnsafeBytes { second in
        guard let a = first.baseAddress, let b = second.baseAddress else { return first.count - second.count }
        let order = unsafe memcmp(a, b, min(first.count, second.count))
        return order != 0 ? Int(order) : first.count - second.count
      }
    }
  }

  /// The first offset at or after a position whose byte is not zero, or nil when all are zero.
  package func firstNonzero(in range: Range<Int>) -> Int? {
    range.first { byte(at: $0) != 0 }
  }
}
