internal import Kernels

/// Reads sections of a container, several blocks at once.
struct SectionDecoder {
  let file: InputFile
  let table: ContainerTable

  /// The checked raw bytes of a section; in place if the file is mapped and they are stored raw.
  func bytes(of section: ContainerSection) throws(FormatError) -> TensorBytes {
    try checkPadding(after: section)
    switch section.encoding.codec {
    case .raw: return try stored(section)
    case .zlib, .zstd: return try decoded(section)
    }
  }

  private func checkPadding(after section: ContainerSection) throws(FormatError) {
    let range = table.padding(after: section)
    let stray = try file.withBytes(in: range) { $0.firstNonzero(in: 0..<range.count) }
    if let stray {
      throw FormatError(
        file.path, byte: range.lowerBound + stray, at: section.subject.place,
        .malformed("the bytes after it must be zero"))
    }
  }

  private func stored(_ section: ContainerSection) throws(FormatError) -> TensorBytes {
    let start = section.byteOffset
    let bytes = try file.bytes(in: start..<start + section.subject.byteCount)
    let ranges = table.storedRanges(of: section)
    try parallel(chunks: ranges.count) { i throws(FormatError) in
      try bytes.withSpan { span throws(FormatError) in
        let block = span.extracting(ranges[i].lowerBound - start..<ranges[i].upperBound - start)
        try check(block, block: i, of: section, at: ranges[i].lowerBound)
      }
    }
    return bytes
  }

  private func decoded(_ section: ContainerSection) throws(FormatError) -> TensorBytes {
    let ranges = table.storedRanges(of: section)
    let encoding = section.encoding
    // Blocks that expand 65,536 times let a small file ask for more memory than there is.
    guard section.subject.byteCount <= ProcessMemory.machineByteCount else {
      throw FormatError(
        file.path, at: section.subject.place,
        .unsupported("\(section.subject.byteCount) bytes are more than the memory of this machine"))
    }
    return try TensorBytes(
      byteCount: section.subject.byteCount, bytesPerChunk: encoding.blockByteCount, path: file.path
    ) { part, block throws(FormatError) in
      let i = part.lowerBound / encoding.blockByteCount
      try file.withBytes(in: ranges[i]) { stored throws(FormatError) in
        try check(stored, block: i, of: section, at: ranges[i].lowerBound)
        guard Self.decode(stored, encoding, into: &block) else {
          throw FormatError(
            file.path, byte: ranges[i].lowerBound, at: "\(section.subject.place), block \(i)",
            .malformed("does not decompress to its \(block.count) bytes"))
        }
      }
    }
  }

  private static func decode(
    _ stored: RawSpan, _ encoding: ContainerEncoding, into block: inout MutableSpan<UInt8>
  ) -> Bool {
    guard let decompressor = encoding.codec.makeDecompressor() else { return false }
    guard encoding.filter != .none else { return decompressor.decompress(stored, into: &block) }
    var planes = [UInt8](repeating: 0, count: block.count)
    var target = planes.mutableSpan
    guard decompressor.decompress(stored, into: &target) else { return false }
    BytePlanes.join(unsafe planes.span.bytes, width: encoding.filter.width, into: &block)
    return true
  }

  private func check(
    _ stored: RawSpan, block: Int, of section: ContainerSection, at offset: Int
  ) throws(FormatError) {
    do throws(Checksum.Mismatch) {
      try Checksum.check(stored, stored: table.blocks[section.blocks.lowerBound + block].checksum)
    } catch {
      throw FormatError(
        file.path, byte: offset, at: "\(section.subject.place), block \(block)", error.problem)
    }
  }
}
