internal import CZlib

/// One zlib stream per block.
///
/// The only place that calls zlib's compressor.
struct ZlibCodec: BlockCompressor, BlockDecompressor {
  /// Whether the search for matches is off.
  let isEntropyOnly: Bool

  func compress(_ block: RawSpan) -> [UInt8] {
    // Without matches, a stream can be longer than zlib's bound for its default settings.
    let capacity = block.byteCount + block.byteCount / 8 + 1024
    // zlib takes pointers, which it does not keep, and writes at most the capacity.
    return unsafe block.withUnsafeBytes { source in
      unsafe [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
        var stream = unsafe z_stream()
        let strategy = isEntropyOnly ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY
        let status = unsafe deflateInit2_(
          &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS, 8, strategy, ZLIB_VERSION,
          Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "no memory for zlib")
        defer { _ = unsafe deflateEnd(&stream) }
        let input = unsafe source.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.next_in = unsafe UnsafeMutablePointer(mutating: input)
        unsafe stream.avail_in = uInt(source.count)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = uInt(capacity)
        let end = unsafe deflate(&stream, Z_FINISH)
        precondition(end == Z_STREAM_END, "zlib refused \(source.count) bytes with status \(end)")
        count = unsafe Int(stream.total_out)
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
