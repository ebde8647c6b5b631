/// A position in the table of contents; it moves only over bytes that are there.
struct RecordCursor {
  let path: String
  /// Where the table begins, from the start of the file.
  let tableOffset: Int
  let byteCount: Int
  private(set) var position = 0

  init(path: String, tableOffset: Int, byteCount: Int) {
    self.path = path
    self.tableOffset = tableOffset
    self.byteCount = byteCount
  }

  var isAtEnd: Bool { position == byteCount }

  /// Moves over bytes and returns where they begin in the table; returns nil without moving if there are too
  /// few.
  mutating func take(_ count: Int) -> Int? {
    guard count <= byteCount - position else { return nil }
    defer { position += count }
    return position
  }

  /// A problem at the current position.
  func error(at place: String?, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, byte: tableOffset + position, at: place, problem)
  }
}

extension ContainerSection {
  /// Reads the record at a cursor and moves the cursor past it.
  ///
  /// `ContainerTable` checks what the record says about the rest of the file.
  ///
  /// - Parameters:
  ///   - table: The table of contents.
  ///   - cursor: Where the record begins.
  ///   - allBlocks: The blocks of this section are appended to it.
  /// - Throws: `FormatError` that names the first rule the record breaks.
  init(
    _ table: RawSpan, _ cursor: inout RecordCursor, _ allBlocks: inout [ContainerBlock]
  ) throws(FormatError) {
    let start = cursor.position
    do throws(RecordDefect) {
      let fixed = try FixedPart(table, at: cursor.take(ContainerFormat.recordByteCount, at: "record"))
      let shape = try fixed.readShape(table, &cursor)
      let name = try fixed.readName(table, &cursor)
      let subject = try fixed.subject(name: name, shape: shape)
      try fixed.encoding.validate(for: subject)
      let firstBlock = allBlocks.count
      try Self.readBlocks(table, &cursor, fixed.encoding, of: subject, &allBlocks)
      blocks = firstBlock..<allBlocks.count
      self.subject = subject
      encoding = fixed.encoding
      byteOffset = fixed.byteOffset
      digest = Digest256(table, at: start + 32)
    } catch {
      throw FormatError(
        cursor.path, byte: cursor.tableOffset + start, at: error.place, error.problem)
    }
  }

  private static func readBlocks(
    _ table: RawSpan, _ cursor: inout RecordCursor, _ encoding: ContainerEncoding,
    of subject: ContainerSubject, _ allBlocks: inout [ContainerBlock]
  ) throws(RecordDefect) {
    let count = encoding.blockCount(of: subject.byteCount)
    // A block has 64 raw bytes or more, so eight times the count is less than the size: no overflow.
    let start = try cursor.take(
      count * ContainerFormat.blockEntryByteCount, at: subject.place)
    for i in 0..<count {
      let offset = start + i * ContainerFormat.blockEntryByteCount
      let block = ContainerBlock(
        storedByteCount: table.integer(at: offset), checksum: table.integer(at: offset + 4))
      let rawByteCount = encoding.rawRange(ofBlock: i, of: subject.byteCount).count
      guard encoding.allows(storedByteCount: Int(block.storedByteCount), for: rawByteCount) else {
        throw RecordDefect(
          "\(subject.place), block \(i)",
          .malformed("\(rawByteCount) bytes are said to be stored in \(block.storedByteCount)"))
      }
      allBlocks.append(block)
    }
  }
}

/// A defect of a record, without its position.
private struct RecordDefect: Error {
  let place: String?
  let problem: FormatError.Problem

  init(_ place: String?, _ problem: FormatError.Problem) {
    self.place = place
    self.problem = problem
  }
}

extension RecordCursor {
  /// Moves over a part of a record; the place is worded only if the part is incomplete.
  fileprivate mutating func take(
    _ count: Int, at place: @autoclosure () -> String
  ) throws(RecordDefect) -> Int {
    if let start = take(count) { return start }
    throw RecordDefect(place(), .truncated(needed: count, available: byteCount - position))
  }
}

extension ContainerEncoding {
  /// Checks that codec, filter and block size fit what is stored.
  fileprivate func validate(for subject: ContainerSubject) throws(RecordDefect) {
    guard ContainerFormat.blockByteRange.contains(blockByteCount),
      blockByteCount % ContainerFormat.alignment == 0
    else { throw RecordDefect(subject.place, .malformed("block size is \(blockByteCount)")) }
    guard filter == .none || (subject.tensor != nil && codec != .raw) else {
      throw RecordDefect(
        subject.place, .malformed("filter \(filter.rawValue) is only for compressed tensors"))
    }
    guard subject.byteCount % filter.width == 0 else {
      throw RecordDefect(
        subject.place, .malformed("\(subject.byteCount) bytes are not whole elements of \(filter.width)"))
    }
  }

  /// Whether a block can be stored in so many bytes.
  fileprivate func allows(storedByteCount: Int, for rawByteCount: Int) -> Bool {
    switch codec {
    case .raw: storedByteCount == rawByteCount
    // The stored size has 32 bits and the limit 16, so nothing overflows.
    case .zlib, .zstd: storedByteCount > 0 && rawByteCount <= storedByteCount * ContainerFormat.expansionLimit
    }
  }
}

/// The first 64 bytes of a record.
private struct FixedPart {
  let kind: ContainerSubject.Kind
  let dtypeCode: UInt8
  let encoding: ContainerEncoding
  let rank: Int
  let nameByteCount: Int
  let byteOffset: Int
  let rawByteCount: Int

  init(_ table: RawSpan, at start: Int) throws(RecordDefect) {
    kind = try Self.named("section kind", table.byte(at: start), ContainerSubject.Kind.init)
    dtypeCode = table.byte(at: start + 1)
    rank = Int(table.byte(at: start + 4))
    nameByteCount = Int(table.integer(at: start + 6, as: UInt16.self))
    encoding = ContainerEncoding(
      codec: try Self.named("codec", table.byte(at: start + 2), ContainerCodec.init),
      filter: try Self.named("filter", table.byte(at: start + 3), ContainerFilter.init),
      blockByteCount: Int(table.integer(at: start + 8, as: UInt32.self)))
    byteOffset = try Self.size("offset", table.integer(at: start + 16))
    rawByteCount = try Self.size("raw size", table.integer(at: start + 24))
    guard table.byte(at: start + 5) == 0, table.integer(at: start + 12, as: UInt32.self) == 0 else {
      throw RecordDefect(nil, .malformed("a byte of the record that must be zero is not"))
    }
  }

  private static func named<T>(_ what: String, _ code: UInt8, _ make: (UInt8) -> T?) throws(RecordDefect) -> T
  {
    guard let value = make(code) else { throw RecordDefect(nil, .unsupportedKind("\(what) \(code)")) }
    return value
  }

  private static func size(_ what: String, _ value: UInt64) throws(RecordDefect) -> Int {
    guard let size = Int(exactly: value) else {
      throw RecordDefect(nil, .malformed("\(what) \(value) is beyond 2^63"))
    }
    return size
  }

  func readShape(_ table: RawSpan, _ cursor: inout RecordCursor) throws(RecordDefect) -> [Int] {
    guard rank <= ContainerFormat.rankLimit else {
      throw RecordDefect(nil, .unsupportedKind("rank \(rank)"))
    }
    guard rank > 0 else { return [] }
    let start = try cursor.take(rank * 8, at: "dimensions")
    var shape: [Int] = []
    shape.reserveCapacity(rank)
    for i in 0..<rank { shape.append(try Self.size("dimension", table.integer(at: start + i * 8))) }
    return shape
  }

  func readName(_ table: RawSpan, _ cursor: inout RecordCursor) throws(RecordDefect) -> String {
    guard nameByteCount > 0 else { return "" }
    let start = try cursor.take(nameByteCount, at: "name")
    guard let name = table.string(in: start..<start + nameByteCount) else {
      throw RecordDefect(nil, .malformed("the name is not UTF-8"))
    }
    return name
  }

  func subject(name: String, shape: [Int]) throws(RecordDefect) -> ContainerSubject {
    guard kind == .tensor else { return try subjectWithoutShape(name: name) }
    guard let dtype = DType(containerCode: dtypeCode) else {
      throw RecordDefect("tensor '\(name)'", .unsupportedKind("dtype \(dtypeCode)"))
    }
    guard let tensor = TensorInfo(checking: name, dtype: dtype, shape: shape) else {
      throw RecordDefect("tensor '\(name)'", .malformed("shape \(shape) overflows or is not whole bytes"))
    }
    guard tensor.byteCount == rawByteCount else {
      throw RecordDefect(
        "tensor '\(name)'",
        .malformed("raw size is \(rawByteCount), \(dtype.rawValue) \(shape) has \(tensor.byteCount)"))
    }
    return .tensor(tensor)
  }

  private func subjectWithoutShape(name: String) throws(RecordDefect) -> ContainerSubject {
    let subject: ContainerSubject =
      kind == .asset ? .asset(Asset(name: name, byteCount: rawByteCount)) : .manifest(byteCount: rawByteCount)
    guard dtypeCode == 0, rank == 0 else {
      throw RecordDefect(subject.place, .malformed("dtype and rank must be zero"))
    }
    switch subject {
    case .asset(let asset):
      guard asset.hasSafeName else {
        throw RecordDefect(subject.place, .malformed("the name is not a path inside a folder"))
      }
    default:
      guard name.isEmpty else { throw RecordDefect(subject.place, .malformed("has a name")) }
      guard rawByteCount <= ContainerFormat.manifestByteLimit else {
        throw RecordDefect(subject.place, .unsupported("has \(rawByteCount) bytes, more than 64 MiB"))
      }
    }
    return subject
  }
}

extension Asset {
  /// The first name that lies inside another name, and that other name, which is a file and not a folder.
  static func firstNested(_ names: Set<String>) -> (name: String, outer: String)? {
    for name in names.sorted(by: precedes) {
      let slashes = name.utf8.indices.filter { name.utf8[$0] == UInt8(ascii: "/") }
      if let end = slashes.first(where: { names.contains(String(name[..<$0])) }) {
        return (name, String(name[..<end]))
      }
    }
    return nil
  }

  /// Whether the name is a relative path that stays inside its folder.
  var hasSafeName: Bool {
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return !name.utf8.contains(0) && !name.utf8.contains(UInt8(ascii: "\\"))
      && parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
  }
}
