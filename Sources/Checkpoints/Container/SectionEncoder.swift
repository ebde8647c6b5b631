internal import Kernels
internal import Synchronization

/// Writes the bytes of sections as blocks, several at once.
///
/// Blocks are independent, so the number of threads does not change the file. Besides the section's own
/// bytes, at most `blocksPerWave` encoded blocks are in memory.
struct SectionEncoder {
  let options: ContainerOptions

  private static let blocksPerWave = 32
  private static let chunksPerWave = 8
  /// The number of blocks up to which a section is encoded by one thread, side by side with others.
  private static let smallBlockCount = 4

  /// A section that was written.
  struct Encoded {
    let encoding: ContainerEncoding
    let blocks: [ContainerBlock]
    let digest: Digest256
  }

  /// A section in memory.
  struct Whole {
    let encoded: Encoded
    /// The bytes of each block; nil when they are the section's own bytes.
    let compressed: [[UInt8]]?
  }

  /// Whether a section is better encoded with others than block by block.
  func isSmall(_ subject: ContainerSubject) -> Bool {
    options.encoding(for: subject).blockCount(of: subject.byteCount) <= Self.smallBlockCount
  }

  /// Encodes a small section on this thread.
  func encode(_ subject: ContainerSubject, _ bytes: RawSpan) -> Whole {
    let digest = Digest256(hashing: bytes)
    let encoding = options.encoding(for: subject)
    let blockCount = encoding.blockCount(of: bytes.byteCount)
    if let compressor = options.compression.makeCompressor(for: encoding.filter), encoding.codec != .raw {
      let blocks = (0..<blockCount).map { block in
        let range = encoding.rawRange(ofBlock: block, of: bytes.byteCount)
        return Self.encode(bytes.extracting(range), encoding.filter, compressor)
      }
      if blocks.isWorthwhile(rawByteCount: bytes.byteCount) {
        return Whole(
          encoded: Encoded(encoding: encoding, blocks: blocks.map(\.stored), digest: digest),
          compressed: blocks.map(\.bytes))
      }
    }
    let raw = rawEncoding
    let blocks = (0..<blockCount).map { block in
      let part = bytes.extracting(raw.rawRange(ofBlock: block, of: bytes.byteCount))
      return ContainerBlock(storedByteCount: UInt32(part.byteCount), checksum: Checksum.crc32(part))
    }
    return Whole(encoded: Encoded(encoding: raw, blocks: blocks, digest: digest), compressed: nil)
  }

  private var rawEncoding: ContainerEncoding {
    ContainerEncoding(codec: .raw, filter: .none, blockByteCount: options.blockByteCount)
  }

  /// Writes a section at its place.
  func write(
    _ subject: ContainerSubject, _ bytes: RawSpan, to file: borrowing OutputFile, at offset: Int
  ) throws -> Encoded {
    let encoding = options.encoding(for: subject)
    if encoding.codec != .raw {
      let section = try writeCompressed(bytes, encoding, to: file, at: offset)
      if let section { return section }
    }
    return try writeRaw(bytes, to: file, at: offset)
  }

  private func writeRaw(
    _ bytes: RawSpan, to file: borrowing OutputFile, at offset: Int
  ) throws -> Encoded {
    let encoding = rawEncoding
    let blockCount = encoding.blockCount(of: bytes.byteCount)
    let hasher = Mutex(SHA256())
    let checksums = Mutex([UInt32](repeating: 0, count: blockCount))
    try parallel(chunks: blockCount + 1) { chunk in
      guard chunk > 0 else { return hasher.withLock { $0.update(bytes) } }
      let range = encoding.rawRange(ofBlock: chunk - 1, of: bytes.byteCount)
      let block = bytes.extracting(range)
      let checksum = Checksum.crc32(block)
      checksums.withLock { $0[chunk - 1] = checksum }
      try file.write(block, at: offset + range.lowerBound)
    }
    let blocks = checksums.withLock { $0 }.enumerated().map { i, checksum in
      let count = encoding.rawRange(ofBlock: i, of: bytes.byteCount).count
      return ContainerBlock(storedByteCount: UInt32(count), checksum: checksum)
    }
    return Encoded(encoding: encoding, blocks: blocks, digest: hasher.withLock { $0.finalize() })
  }

  /// Returns nil, having written nothing, when the first wave does not shrink by 2 %.
  private func writeCompressed(
    _ bytes: RawSpan, _ encoding: ContainerEncoding, to file: borrowing OutputFile, at offset: Int
  ) throws -> Encoded? {
    let blockCount = encoding.blockCount(of: bytes.byteCount)
    let hasher = Mutex(SHA256())
    var blocks: [ContainerBlock] = []
    var end = offset
    for first in stride(from: 0, to: blockCount, by: Self.blocksPerWave) {
      let wave = first..<min(blockCount, first + Self.blocksPerWave)
      let encoded = encode(bytes, wave, encoding, hasher)
      if first == 0 {
        let rawByteCount = encoding.rawRange(ofBlock: wave.upperBound - 1, of: bytes.byteCount).upperBound
        guard encoded.isWorthwhile(rawByteCount: rawByteCount) else { return nil }
      }
      for block in encoded {
        try file.write(unsafe block.bytes.span.bytes, at: end)
        end += block.bytes.count
        blocks.append(block.stored)
      }
    }
    return Encoded(encoding: encoding, blocks: blocks, digest: hasher.withLock { $0.finalize() })
  }

  /// Hashes and compresses consecutive blocks.
  private func encode(
    _ bytes: RawSpan, _ wave: Range<Int>, _ encoding: ContainerEncoding, _ hasher: borrowing Mutex<SHA256>
  ) -> [EncodedBlock] {
    let compression = options.compression
    let byteCount = bytes.byteCount
    let raw =
      encoding.rawRange(ofBlock: wave.lowerBound, of: byteCount)
      .lowerBound..<encoding.rawRange(ofBlock: wave.upperBound - 1, of: byteCount).upperBound
    let encoded = Mutex([EncodedBlock](repeating: EncodedBlock(), count: wave.count))
    let blocksPerChunk = (wave.count + Self.chunksPerWave - 1) / Self.chunksPerWave
    let chunkCount = (wave.count + blocksPerChunk - 1) / blocksPerChunk
    parallel(chunks: chunkCount + 1) { chunk in
      guard chunk > 0 else { return hasher.withLock { $0.update(bytes.extracting(raw)) } }
      let compressor = compression.makeCompressor(for: encoding.filter)
      let first = (chunk - 1) * blocksPerChunk
      for i in first..<min(first + blocksPerChunk, wave.count) {
        let range = encoding.rawRange(ofBlock: wave.lowerBound + i, of: byteCount)
        let stored = Self.encode(bytes.extracting(range), encoding.filter, compressor)
        encoded.withLock { $0[i] = stored }
      }
    }
    return encoded.withLock { $0 }
  }

  private static func encode(
    _ block: RawSpan, _ filter: ContainerFilter, _ compressor: (any BlockCompressor)?
  ) -> EncodedBlock {
    guard let compressor else { preconditionFailure("raw blocks are written as they are") }
    let bytes: [UInt8]
    if filter == .none {
      bytes = compressor.compress(block)
    } else {
      let planes = BytePlanes.split(block, width: filter.width)
      bytes = compressor.compress(unsafe planes.span.bytes)
    }
    return EncodedBlock(bytes: bytes, checksum: Checksum.crc32(bytes))
  }
}

private struct EncodedBlock {
  var bytes: [UInt8] = []
  var checksum: UInt32 = 0

  var stored: ContainerBlock { ContainerBlock(storedByteCount: UInt32(bytes.count), checksum: checksum) }
}

extension [EncodedBlock] {
  /// Whether the blocks shrank by 2 %.
  fileprivate func isWorthwhile(rawByteCount: Int) -> Bool {
    isEmpty || reduce(0) { $0 + $1.bytes.count } <= rawByteCount / 100 * 98
  }
}
