/// The first 64 bytes of a container.
enum ContainerHeader {
  /// The header this version writes.
  static var bytes: [UInt8] {
    var bytes = ContainerFormat.magic
    bytes.appendInteger(ContainerFormat.majorVersion)
    bytes.appendInteger(ContainerFormat.minorVersion)
    bytes.appendZeros(upTo: ContainerFormat.headerByteCount - 4)
    bytes.appendInteger(Checksum.crc32(bytes))
    return bytes
  }

  /// Checks that a file begins with a header that this version reads.
  ///
  /// - Parameters:
  ///   - header: The first 64 bytes.
  ///   - path: The file, for errors.
  /// - Throws: `FormatError` that names the first broken rule.
  static func validate(_ header: RawSpan, path: String) throws(FormatError) {
    func require(
      _ condition: Bool, byte: Int, _ problem: @autoclosure () -> FormatError.Problem
    ) throws(FormatError) {
      guard condition else { throw FormatError(path, byte: byte, at: "header", problem()) }
    }
    let hasName = (0..<4).allSatisfy { header.byte(at: $0) == ContainerFormat.magic[$0] }
    let hasMagic = (0..<8).allSatisfy { header.byte(at: $0) == ContainerFormat.magic[$0] }
    try require(hasName, byte: 0, .malformed("is not a rilq container"))
    try require(hasMagic, byte: 4, .malformed("the magic is damaged, as by a transfer as text"))
    let end = ContainerFormat.headerByteCount - 4
    do {
      try Checksum.check(header.extracting(0..<end), stored: header.integer(at: end))
    } catch {
      throw FormatError(path, byte: end, at: "header", error.problem)
    }
    let major = header.integer(at: 8, as: UInt16.self)
    try require(major == ContainerFormat.majorVersion, byte: 8, .unsupportedKind("major version \(major)"))
    let features = header.integer(at: 16, as: UInt64.self)
    try require(
      features == 0, byte: 16, .unsupportedKind("required feature bit \(features.trailingZeroBitCount)"))
    let stray = header.firstNonzero(in: 12..<16) ?? header.firstNonzero(in: 24..<end)
    try require(stray == nil, byte: stray ?? 0, .malformed("must be zero"))
  }
}

/// The last 80 bytes of a container.
struct ContainerTrailer: Equatable {
  /// Where the table of contents begins, from the start of the file.
  var tableOffset: Int
  var tableByteCount: Int
  var fileByteCount: Int
  var sectionCount: Int
  /// CRC-32 of the table of contents.
  var tableChecksum: UInt32
  var contentDigest: Digest256

  private static let checksumOffset = 68
  private static let magicOffset = 72
}

extension ContainerTrailer {
  /// The bytes of the trailer.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendInteger(UInt64(tableOffset))
    bytes.appendInteger(UInt64(tableByteCount))
    bytes.appendInteger(UInt64(fileByteCount))
    bytes.appendInteger(UInt32(sectionCount))
    bytes.appendInteger(tableChecksum)
    bytes += contentDigest.bytes
    bytes.appendZeros(upTo: Self.checksumOffset)
    bytes.appendInteger(Checksum.crc32(bytes))
    return bytes + ContainerFormat.endMagic
  }

  /// Reads the trailer and checks it against the size of the file.
  ///
  /// - Parameters:
  ///   - trailer: The last 80 bytes.
  ///   - path: The file, for errors.
  ///   - fileByteCount: The size of the file, at least header and trailer.
  /// - Throws: `FormatError` that names the first broken rule.
  init(_ trailer: RawSpan, path: String, fileByteCount: Int) throws(FormatError) {
    let start = fileByteCount - ContainerFormat.trailerByteCount
    let magic = (0..<8).map { trailer.byte(at: Self.magicOffset + $0) }
    guard magic == ContainerFormat.endMagic else {
      throw FormatError(
        path, byte: start + Self.magicOffset, at: "trailer",
        .malformed("the magic is wrong: the file is cut short or has bytes after its end"))
    }
    do {
      try Checksum.check(
        trailer.extracting(0..<Self.checksumOffset), stored: trailer.integer(at: Self.checksumOffset))
    } catch {
      throw FormatError(path, byte: start + Self.checksumOffset, at: "trailer", error.problem)
    }
    guard trailer.firstNonzero(in: 64..<Self.checksumOffset) == nil else {
      throw FormatError(path, byte: start + 64, at: "trailer", .malformed("must be zero"))
    }
    try self.init(fieldsOf: trailer, at: start, path: path)
  }

  private init(fieldsOf trailer: RawSpan, at start: Int, path: String) throws(FormatError) {
    let fileByteCount = start + ContainerFormat.trailerByteCount
    let declared = trailer.integer(at: 16, as: UInt64.self)
    guard declared == UInt64(fileByteCount) else {
      throw FormatError(
        path, byte: start + 16, at: "trailer",
        .malformed("the file has \(fileByteCount) bytes, not \(declared)"))
    }
    let offset = trailer.integer(at: 0, as: UInt64.self)
    let size = trailer.integer(at: 8, as: UInt64.self)
    guard offset >= ContainerFormat.headerByteCount, offset <= start, UInt64(start) - offset == size,
      offset % UInt64(ContainerFormat.alignment) == 0
    else {
      throw FormatError(
        path, byte: start, at: "trailer",
        .malformed("a table of \(size) bytes at byte \(offset) does not end at the trailer"))
    }
    let count = Int(trailer.integer(at: 24, as: UInt32.self))
    guard count <= ContainerFormat.sectionLimit, count <= size / UInt64(ContainerFormat.recordByteCount)
    else {
      throw FormatError(
        path, byte: start + 24, at: "trailer", .malformed("\(count) sections in a table of \(size) bytes"))
    }
    tableOffset = Int(offset)
    tableByteCount = Int(size)
    self.fileByteCount = fileByteCount
    sectionCount = count
    tableChecksum = trailer.integer(at: 28)
    contentDigest = Digest256(trailer, at: 32)
  }
}
