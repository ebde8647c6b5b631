internal import CZlib

/// One zlib stream a block.
///
/// The only place that calls zlib's compressor.
struct ZlibCodec: BlockCompressor, BlockDecompressor {
  func compress(_ block: RawSpan) -> [UInt8] {
    let capacity = Int(compressBound(uLong(block.byteCount)))
    // zlib takes pointers, which it does not keep, and writes at most the capacity.
    return unsafe block.withUnsafeBytes { source in
      unsafe [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
        var size = uLong(capacity)
        let status = unsafe compress2(
          target.baseAddress, &size, source.baseAddress?.assumingMemoryBound(to: UInt8.self),
          uLong(source.count), Z_DEFAULT_COMPRESSION)
        precondition(status == Z_OK, "zlib refused \(source.count) bytes with status \(status)")
        count = Int(size)
      }
    }
  }

  func decompress(_ stored: RawSpan, into block: inout MutableSpan<UInt8>) -> Bool {
    // zlib takes pointers, which it does not keep, and stays inside both sizes, whatever the bytes say.
    unsafe stored.withUnsafeBytes { source in
      unsafe block.withUnsafeMutableBufferPointer { target in
        var size = uLong(target.count)
        var consumed = uLong(source.count)
        let status = unsafe uncompress2(
          target.baseAddress, &size, source.baseAddress?.assumingMemoryBound(to: UInt8.self), &consumed)
        return status == Z_OK && Int(size) == target.count && Int(consumed) == source.count
      }
    }
  }
}
