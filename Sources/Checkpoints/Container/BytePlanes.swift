/// The filter that gathers the first bytes of all elements, then the second bytes, and so on.
///
/// Byte `p` of element `i` moves from `i * width + p` to `p * n + i`. Exponents of floats are alike, so a
/// plane of them compresses well even if the elements do not.
enum BytePlanes {
  /// The bytes plane by plane.
  ///
  /// - Parameters:
  ///   - bytes: Elements.
  ///   - width: The bytes of an element, 2 or 4; divides the number of bytes.
  /// - Returns: As many bytes.
  static func split(_ bytes: RawSpan, width: Int) -> [UInt8] {
    precondition(bytes.byteCount % width == 0, "\(bytes.byteCount) bytes, elements of \(width)")
    let count = bytes.byteCount
    // Checked access would make these loops ten times as slow; every offset below is less than `count`.
    return unsafe bytes.withUnsafeBytes { elements in
      unsafe [UInt8](unsafeUninitializedCapacity: count) { planes, initializedCount in
        switch width {
        case 2: unsafe split(elements, as: UInt16.self, into: planes)
        case 4: unsafe split(elements, as: UInt32.self, into: planes)
        default: preconditionFailure("no byte planes of width \(width)")
        }
        initializedCount = count
      }
    }
  }

  /// Puts planes back into elements.
  ///
  /// - Parameters:
  ///   - planes: The output of `split`.
  ///   - width: The bytes of an element, 2 or 4; divides the number of bytes.
  ///   - elements: As many bytes.
  static func join(_ planes: RawSpan, width: Int, into elements: inout MutableSpan<UInt8>) {
    precondition(planes.byteCount % width == 0 && elements.count == planes.byteCount)
    // As above; the pointers are not kept.
    unsafe planes.withUnsafeBytes { planes in
      unsafe elements.withUnsafeMutableBufferPointer { elements in
        switch width {
        case 2: unsafe join(planes, into: UnsafeMutableRawBufferPointer(elements), as: UInt16.self)
        case 4: unsafe join(planes, into: UnsafeMutableRawBufferPointer(elements), as: UInt32.self)
        default: preconditionFailure("no byte planes of width \(width)")
        }
      }
    }
  }

  private static func split<T: FixedWidthInteger>(
    _ elements: UnsafeRawBufferPointer, as type: T.Type, into planes: UnsafeMutableBufferPointer<UInt8>
  ) {
    let width = MemoryLayout<T>.size
    let n = elements.count / width
    for p in 0..<width {
      for i in 0..<n {
        let element = unsafe T(littleEndian: elements.loadUnaligned(fromByteOffset: i * width, as: T.self))
        unsafe planes[p * n + i] = UInt8(truncatingIfNeeded: element >> T(8 * p))
      }
    }
  }

  private static func join<T: FixedWidthInteger>(
    _ planes: UnsafeRawBufferPointer, into elements: UnsafeMutableRawBufferPointer, as type: T.Type
  ) {
    let width = MemoryLayout<T>.size
    let n = elements.count / width
    for i in 0..<n {
      var element: T = 0
      for p in 0..<width { element |= unsafe T(truncatingIfNeeded: planes[p * n + i]) << T(8 * p) }
      unsafe elements.storeBytes(of: element.littleEndian, toByteOffset: i * width, as: T.self)
    }
  }
}
