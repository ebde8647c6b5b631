import Checkpoints

/// A packed container put together byte by byte, so that it can hold what no writer would write.
package struct ContainerBytes {
  private static let headerByteCount = 64
  private static let trailerByteCount = 80
  private static let alignment = 64

  private var bytes: [UInt8] = [0x52, 0x49, 0x4C, 0x51, 0x0D, 0x0A, 0x89, 0x0A, 1]
  private var records: [UInt8] = []
  private var sectionCount = 0

  /// A container of a manifest alone, stored raw.
  ///
  /// - Parameter manifest: Its text.
  package init(manifest: String) {
    fill(to: Self.headerByteCount)
    addManifest(manifest)
  }

  /// A container of one `U8` tensor and a manifest.
  ///
  /// - Parameters:
  ///   - tensor: Its name.
  ///   - rawByteCount: The stated size.
  ///   - blockByteCount: The size of its blocks.
  ///   - codec: The number of their codec.
  ///   - blocks: The stored bytes of each block.
  ///   - manifest: The text of the manifest.
  package init(
    tensor: String, rawByteCount: Int, blockByteCount: Int, codec: UInt8, blocks: [[UInt8]], manifest: String
  ) {
    fill(to: Self.headerByteCount)
    add(
      [1, 2, codec, 0, 1, 0], name: tensor, blockByteCount: blockByteCount, rawByteCount: rawByteCount,
      shape: [rawByteCount], blocks: blocks)
    addManifest(manifest)
  }

  /// The file with correct checksums.
  package func sealed() -> [UInt8] {
    var file = bytes
    let table = file.count
    file += records
    for value in [table, records.count, file.count + Self.trailerByteCount] {
      file.append(value, byteCount: 8)
    }
    file.append(sectionCount, byteCount: 4)
    file += [UInt8](repeating: 0, count: 4 + 32 + 8) + [0x51, 0x4C, 0x49, 0x52, 0x0D, 0x0A, 0x89, 0x0A]
    ContainerSeal.seal(&file)
    return file
  }

  private mutating func addManifest(_ text: String) {
    let bytes = Array(text.utf8)
    add(
      [3, 0, 0, 0, 0, 0], name: "", blockByteCount: 1 << 24, rawByteCount: bytes.count, shape: [],
      blocks: [bytes])
  }

  private mutating func add(
    _ kinds: [UInt8], name: String, blockByteCount: Int, rawByteCount: Int, shape: [Int], blocks: [[UInt8]]
  ) {
    sectionCount += 1
    records += kinds
    records.append(name.utf8.count, byteCount: 2)
    records.append(blockByteCount, byteCount: 8)
    records.append(bytes.count, byteCount: 8)
    records.append(rawByteCount, byteCount: 8)
    records += [UInt8](repeating: 0, count: 32)
    for dimension in shape { records.append(dimension, byteCount: 8) }
    records += Array(name.utf8)
    for block in blocks {
      records.append(block.count, byteCount: 4)
      records.append(Int(Checksum.crc32(block)), byteCount: 4)
      bytes += block
    }
    fill(to: (bytes.count + Self.alignment - 1) / Self.alignment * Self.alignment)
  }

  private mutating func fill(to count: Int) {
    bytes += [UInt8](repeating: 0, count: count - bytes.count)
  }
}

extension [UInt8] {
  fileprivate mutating func append(_ value: Int, byteCount: Int) {
    self += value.littleEndianBytes.prefix(byteCount)
  }
}
