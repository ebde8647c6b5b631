internal import CZlib

/// The CRC-32 of zlib.
package enum Checksum {
  /// The checksum of bytes; 0 for none.
  ///
  /// - Parameters:
  ///   - bytes: The bytes.
  ///   - before: The checksum of the preceding bytes; 0 if there are none.
  /// - Returns: The checksum of all.
  package static func crc32(_ bytes: RawSpan, continuing before: UInt32 = 0) -> UInt32 {
    // zlib takes a pointer, which it does not keep.
    unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return before }
      return UInt32(
        truncatingIfNeeded: unsafe crc32_z(
          UInt(before), start.assumingMemoryBound(to: UInt8.self), buffer.count))
    }
  }

  /// The checksum of bytes in an array.
  package static func crc32(_ bytes: [UInt8]) -> UInt32 { crc32(unsafe bytes.span.bytes) }

  /// Checks bytes against their stored checksum.
  static func check(_ bytes: RawSpan, stored: UInt32) throws(Mismatch) {
    let computed = crc32(bytes)
    guard computed == stored else { throw Mismatch(stored: stored, computed: computed) }
  }

  /// Two checksums that should be equal.
  struct Mismatch: Error {
    let stored: UInt32
    let computed: UInt32

    /// The disagreement as a problem of a file.
    var problem: FormatError.Problem {
      .checksum(stored: String(stored, radix: 16), computed: String(computed, radix: 16))
    }
  }
}
