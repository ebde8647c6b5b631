/// Compresses blocks one after another, keeping its working memory.
protocol BlockCompressor {
  /// The stream or frame that holds a block.
  func compress(_ block: RawSpan) -> [UInt8]
}

/// Decompresses blocks one after another, keeping its working memory.
protocol BlockDecompressor {
  /// Fills a block from its stream or frame.
  ///
  /// - Returns: Whether there was exactly one, with exactly these bytes.
  func decompress(_ stored: RawSpan, into block: inout MutableSpan<UInt8>) -> Bool
}

extension ContainerCompression {
  /// A compressor for one thread; nil when nothing is compressed.
  func makeCompressor() -> (any BlockCompressor)? {
    switch self {
    case .none: nil
    case .zlib: ZlibCodec()
    case .zstd(let level): ZstdCompressor(level: level)
    }
  }
}

extension ContainerCodec {
  /// A decompressor for one thread; nil for raw blocks.
  func makeDecompressor() -> (any BlockDecompressor)? {
    switch self {
    case .raw: nil
    case .zlib: ZlibCodec()
    case .zstd: ZstdDecompressor()
    }
  }
}
