internal import CZstd

/// One zstd frame per block.
///
/// Only this type and `ZstdDecompressor` call zstd.
@safe final class ZstdCompressor: BlockCompressor {
  private let context: OpaquePointer

  /// Makes a context for one thread.
  ///
  /// - Parameter level: In `ContainerCompression.zstdLevels`.
  init(level: Int) {
    guard let context = unsafe ZSTD_createCCtx() else { preconditionFailure("no memory for zstd") }
    unsafe self.context = unsafe context
    set(ZSTD_c_compressionLevel, Int32(level))
  }

  /// Makes a context that relies on entropy coding; match search is kept minimal.
  static func entropyOnly() -> ZstdCompressor {
    let compressor = ZstdCompressor(level: 1)
    compressor.set(ZSTD_c_minMatch, 7)
    compressor.set(ZSTD_c_hashLog, 8)
    compressor.set(ZSTD_c_targetLength, 4096)
    // This is ZSTD_c_literalCompressionMode; otherwise such a target length would turn off the coding of
    // literals. If a version of zstd does not know the number, its frames are larger but valid.
    compressor.set(ZSTD_c_experimentalParam5, 1)
    return compressor
  }

  // The context is owned by this object alone.
  deinit { _ = unsafe ZSTD_freeCCtx(context) }

  private func set(_ parameter: ZSTD_cParameter, _ value: Int32) {
    // If zstd does not accept a value, it keeps its own.
    _ = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
  }

  func compress(_ block: RawSpan) -> [UInt8] {
    let capacity = ZSTD_compressBound(block.byteCount)
    // zstd takes pointers, which it does not keep, and writes at most the capacity.
    return unsafe block.withUnsafeBytes { source in
      unsafe [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
        count = unsafe ZSTD_compress2(
          context, target.baseAddress, capacity, source.baseAddress, source.count)
        precondition(ZSTD_isError(count) == 0, "zstd refused \(source.count) bytes")
      }
    }
  }
}

/// Reads what `ZstdCompressor` writes.
@safe final class ZstdDecompressor: BlockDecompressor {
  private let context: OpaquePointer

  /// Makes a context for one thread.
  init() {
    guard let context = unsafe ZSTD_createDCtx() else { preconditionFailure("no memory for zstd") }
    unsafe self.context = unsafe context
  }

  // The context is owned by this object alone.
  deinit { _ = unsafe ZSTD_freeDCtx(context) }

  func decompress(_ stored: RawSpan, into block: inout MutableSpan<UInt8>) -> Bool {
    // zstd takes pointers, which it does not keep, and stays inside both sizes, whatever the bytes say.
    unsafe stored.withUnsafeBytes { source in
      unsafe block.withUnsafeMutableBufferPointer { target in
        guard unsafe ZSTD_getFrameContentSize(source.baseAddress, source.count) == UInt64(target.count),
          unsafe ZSTD_findFrameCompressedSize(source.baseAddress, source.count) == source.count
        else { return false }
        let count = unsafe ZSTD_decompressDCtx(
          context, target.baseAddress, target.count, source.baseAddress, source.count)
        return count == target.count
      }
    }
  }
}
