/// The filter that gathers the first bytes of all elements, then the second ones and so on.
///
/// Byte `p` of element `i` moves from `i * width + p` to `p * n + i`. Exponents of floats are alike, so a
/// plane of them compresses well where the elements themselves do not.
enum BytePlanes {
  /// The bytes plane by plane.
  ///
  /// - Parameters:
  ///   - bytes: Elements.
  ///   - width: The bytes of an element; divides the number of bytes.
  /// - Returns: As many bytes.
  static func split(_ bytes: RawSpan, width: Int) -> [UInt8] {
    var planes = [UInt8](repeating: 0, count: bytes.byteCount)
    var target = planes.mutableSpan
    split(bytes, width: width, into: &target)
    return planes
  }

  /// Puts the bytes plane by plane into as many bytes.
  private static func split(_ bytes: RawSpan, width: Int, into planes: inout MutableSpan<UInt8>) {
    let n = bytes.byteCount / width
    precondition(n * width == bytes.byteCount && planes.count == bytes.byteCount)
    for p in 0..<width {
      for i in 0..<n { planes[p * n + i] = bytes.byte(at: i * width + p) }
    }
  }

  /// Puts planes back into elements.
  ///
  /// - Parameters:
  ///   - planes: What `split` made.
  ///   - width: The bytes of an element; divides the number of bytes.
  ///   - elements: As many bytes.
  static func join(_ planes: RawSpan, width: Int, into elements: inout MutableSpan<UInt8>) {
    let n = planes.byteCount / width
    precondition(n * width == planes.byteCount && elements.count == planes.byteCount)
    for p in 0..<width {
      for i in 0..<n { elements[i * width + p] = planes.byte(at: p * n + i) }
    }
  }
}
