import Checkpoints

/// Corrects the checksums of a packed container, as far as its bytes can be read as one.
///
/// Changed bytes then reach the checks that come after the checksums.
package enum ContainerSeal {
  private static let headerByteCount = 64
  private static let trailerByteCount = 80
  private static let recordByteCount = 64

  /// Computes the checksums of blocks, table, header and trailer, in this order.
  ///
  /// - Parameters:
  ///   - file: The whole file.
  ///   - includingBlocks: Whether the checksums of blocks are computed, too.
  package static func seal(_ file: inout [UInt8], includingBlocks: Bool = true) {
    guard file.count >= headerByteCount + trailerByteCount else { return }
    let trailer = file.count - trailerByteCount
    let table = file.number(at: trailer, byteCount: 8)
    if (headerByteCount...trailer).contains(table) {
      if includingBlocks { sealBlocks(&file, records: table..<trailer) }
      file.set(Checksum.crc32(Array(file[table..<trailer])), at: trailer + 28)
    }
    file.set(Checksum.crc32(Array(file[0..<headerByteCount - 4])), at: headerByteCount - 4)
    file.set(Checksum.crc32(Array(file[trailer..<trailer + 68])), at: trailer + 68)
  }

  /// Walks over the records as long as they fit.
  private static func sealBlocks(_ file: inout [UInt8], records: Range<Int>) {
    var record = records.lowerBound
    while records.upperBound - record >= recordByteCount {
      let nameByteCount = file.number(at: record + 6, byteCount: 2)
      let blockByteCount = file.number(at: record + 8, byteCount: 4)
      var offset = file.number(at: record + 16, byteCount: 8)
      let rawByteCount = file.number(at: record + 24, byteCount: 8)
      guard blockByteCount > 0, offset >= 0, rawByteCount >= 0 else { return }
      let blocks = record + recordByteCount + 8 * Int(file[record + 4]) + nameByteCount
      let blockCount = rawByteCount / blockByteCount + (rawByteCount % blockByteCount == 0 ? 0 : 1)
      guard blocks <= records.upperBound, blockCount <= (records.upperBound - blocks) / 8 else { return }
      for block in 0..<blockCount {
        let entry = blocks + 8 * block
        let storedByteCount = file.number(at: entry, byteCount: 4)
        guard offset <= records.lowerBound, storedByteCount <= records.lowerBound - offset else { return }
        file.set(Checksum.crc32(Array(file[offset..<offset + storedByteCount])), at: entry + 4)
        offset += storedByteCount
      }
      record = blocks + 8 * blockCount
    }
  }
}

extension [UInt8] {
  /// A little-endian number; negative when it is beyond 2^63.
  fileprivate func number(at offset: Int, byteCount: Int) -> Int {
    (0..<byteCount).reduce(0) { $0 | Int(self[offset + $1]) << (8 * $1) }
  }

  fileprivate mutating func set(_ checksum: UInt32, at offset: Int) {
    replaceSubrange(offset..<offset + 4, with: checksum.littleEndianBytes)
  }
}
