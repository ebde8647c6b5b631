/// The checked table of contents of a container.
struct ContainerTable {
  let sections: [ContainerSection]
  /// The blocks of all sections, in order.
  let blocks: [ContainerBlock]
  let contentDigest: Digest256
  /// The positions of the tensors by name; they are the same among tensors and among sections.
  let tensorIndex: [String: Int]
  private let assetIndex: [String: Int]

  /// The section of a tensor.
  func section(ofTensor name: String) -> ContainerSection? { tensorIndex[name].map { sections[$0] } }

  /// The section of an asset.
  func section(ofAsset name: String) -> ContainerSection? { assetIndex[name].map { sections[$0] } }

  /// The stored bytes of each block of a section, as offsets from the start of the file.
  func storedRanges(of section: ContainerSection) -> [Range<Int>] {
    // All blocks were found to lie in the file, so nothing overflows.
    var start = section.byteOffset
    return blocks[section.blocks].map { block in
      defer { start += Int(block.storedByteCount) }
      return start..<start + Int(block.storedByteCount)
    }
  }

  /// The bytes from the end of a section to the next thing in the file.
  func padding(after section: ContainerSection) -> Range<Int> {
    let end = blocks[section.blocks].reduce(section.byteOffset) { $0 + Int($1.storedByteCount) }
    // The table begins at or after the next multiple of the alignment, so that multiple exists.
    return end..<(ContainerFormat.aligned(end) ?? end)
  }

  /// Reads header, trailer and table of a file, and checks that they describe it.
  init(of file: InputFile) throws(FormatError) {
    let path = file.path
    let least = ContainerFormat.headerByteCount + ContainerFormat.trailerByteCount
    try file.withBytes(in: 0..<min(file.byteCount, ContainerFormat.headerByteCount)) {
      bytes throws(FormatError) in
      guard file.byteCount >= least else {
        throw FormatError(path, .truncated(needed: least, available: file.byteCount))
      }
      try ContainerHeader.validate(bytes, path: path)
    }
    let start = file.byteCount - ContainerFormat.trailerByteCount
    let trailer = try file.withBytes(in: start..<file.byteCount) { bytes throws(FormatError) in
      try ContainerTrailer(bytes, path: path, fileByteCount: file.byteCount)
    }
    var blocks: [ContainerBlock] = []
    let sections = try file.withBytes(in: trailer.tableOffset..<start) { bytes throws(FormatError) in
      try Self.readSections(bytes, trailer, &blocks, path: path)
    }
    try Self.validateLayout(sections, blocks, trailer, path: path)
    tensorIndex = try Self.index(sections, of: .tensor, path: path)
    assetIndex = try Self.index(sections, of: .asset, path: path)
    try Self.checkFolders(assetIndex, path: path)
    self.sections = sections
    self.blocks = blocks
    contentDigest = trailer.contentDigest
  }
}

extension ContainerTable {
  private static func readSections(
    _ table: RawSpan, _ trailer: ContainerTrailer, _ blocks: inout [ContainerBlock], path: String
  ) throws(FormatError) -> [ContainerSection] {
    do {
      try Checksum.check(table, stored: trailer.tableChecksum)
    } catch {
      throw FormatError(path, byte: trailer.tableOffset, at: "table of contents", error.problem)
    }
    var cursor = RecordCursor(path: path, tableOffset: trailer.tableOffset, byteCount: table.byteCount)
    var sections: [ContainerSection] = []
    // The trailer has proved that the table has room for so many records.
    sections.reserveCapacity(trailer.sectionCount)
    for _ in 0..<trailer.sectionCount { sections.append(try ContainerSection(table, &cursor, &blocks)) }
    guard cursor.isAtEnd else {
      throw cursor.error(at: "table of contents", .malformed("has bytes after its last record"))
    }
    return sections
  }

  /// Checks that sections fill the file between header and table, in order and without gaps.
  private static func validateLayout(
    _ sections: [ContainerSection], _ blocks: [ContainerBlock], _ trailer: ContainerTrailer, path: String
  ) throws(FormatError) {
    var end = ContainerFormat.headerByteCount
    var previous = ContainerSubject.Kind.tensor
    for i in sections.indices {
      guard sections[i].subject.kind >= previous, previous != .manifest else {
        throw FormatError(
          path, at: sections[i].subject.place, .malformed("is out of order: tensors, assets, one manifest"))
      }
      previous = sections[i].subject.kind
      // `end` is at most the table's offset, which is a multiple of the alignment.
      guard sections[i].byteOffset == ContainerFormat.aligned(end) else {
        throw FormatError(
          path, at: sections[i].subject.place,
          .malformed("begins at \(sections[i].byteOffset), not after byte \(end)"))
      }
      end = try Self.end(of: sections[i], blocks, before: trailer.tableOffset, path: path)
    }
    guard previous == .manifest else { throw FormatError(path, .missing("the manifest")) }
    guard trailer.tableOffset == ContainerFormat.aligned(end) else {
      throw FormatError(
        path, at: "table of contents", .malformed("begins at \(trailer.tableOffset), not after byte \(end)"))
    }
  }

  /// The end of the last block of a section, which must not exceed a limit.
  private static func end(
    of section: ContainerSection, _ blocks: [ContainerBlock], before limit: Int, path: String
  ) throws(FormatError) -> Int {
    var end = section.byteOffset
    for i in section.blocks {
      let storedByteCount = Int(blocks[i].storedByteCount)
      guard storedByteCount <= limit - end else {
        throw FormatError(
          path, byte: end, at: section.subject.place,
          .truncated(needed: storedByteCount, available: limit - end))
      }
      end += storedByteCount
    }
    return end
  }

  private static func index(
    _ sections: [ContainerSection], of kind: ContainerSubject.Kind, path: String
  ) throws(FormatError) -> [String: Int] {
    var index: [String: Int] = [:]
    index.reserveCapacity(kind == .tensor ? sections.count : 0)
    for i in sections.indices where sections[i].subject.kind == kind {
      guard index.updateValue(i, forKey: sections[i].subject.name) == nil else {
        throw FormatError(path, at: sections[i].subject.place, .malformed("there are two of this name"))
      }
    }
    return index
  }

  /// Checks that no asset lies inside another one, which is a file and not a folder.
  private static func checkFolders(_ assets: [String: Int], path: String) throws(FormatError) {
    guard let (name, outer) = Asset.firstNested(Set(assets.keys)) else { return }
    throw FormatError(path, at: "asset '\(name)'", .malformed("is inside asset '\(outer)'"))
  }
}
