/// Gives the tensors of a GGUF file their places, and checks that they cover the data once.
///
/// A tensor begins where the one before it ends, rounded up to the alignment.
struct GGUFLayout {
  private let path: String
  private let alignment: Int
  private let fileByteCount: Int
  /// Where the data begins.
  private let start: Int
  /// Where the next tensor begins, from the start of the data.
  private var offset = 0
  /// Where it would begin if type 42 had the blocks it had at first; nil when a row cannot have those.
  private var olderOffset: Int? = 0

  /// Finds where the data begins.
  init(
    headerByteCount: Int, alignment: Int, fileByteCount: Int, path: String
  ) throws(FormatError) {
    self.path = path
    self.alignment = alignment
    self.fileByteCount = fileByteCount
    guard let start = Self.padded(headerByteCount, to: alignment) else {
      throw FormatError(path, byte: headerByteCount, .malformed("the data would begin beyond any file"))
    }
    self.start = start
  }

  /// Places every tensor.
  ///
  /// - Throws: `FormatError` when an offset is not the sum of the sizes before it, when bytes are missing, or when some
  ///   follow the last tensor.
  mutating func place(
    _ declarations: [GGUFHeaderReader.Declaration]
  ) throws(FormatError) -> [GGUFHeader.Entry] {
    var entries: [GGUFHeader.Entry] = []
    entries.reserveCapacity(declarations.count)
    for declaration in declarations { entries.append(try place(declaration)) }
    let end = entries.last?.range.upperBound ?? min(start, fileByteCount)
    guard fileByteCount <= start + offset || fileByteCount <= end else {
      throw FormatError(
        path, byte: start + offset,
        .malformed("\(fileByteCount - start - offset) bytes follow the last tensor"))
    }
    return entries
  }

  private mutating func place(
    _ declaration: GGUFHeaderReader.Declaration
  ) throws(FormatError) -> GGUFHeader.Entry {
    let place = "tensor '\(declaration.name)'"
    guard declaration.offset == UInt64(offset) else {
      if let olderOffset, olderOffset != offset, declaration.offset == UInt64(olderOffset) {
        throw olderBlocks(declaration)
      }
      throw FormatError(
        path, byte: declaration.offsetPosition, at: place,
        .malformed("its offset is \(declaration.offset), the tensors before it end at \(offset)"))
    }
    guard start <= fileByteCount, offset <= fileByteCount - start,
      declaration.byteCount <= fileByteCount - start - offset
    else {
      if endsAtOlderSize(declaration) { throw olderBlocks(declaration) }
      let available = fileByteCount > start ? max(0, fileByteCount - start - offset) : 0
      throw FormatError(
        path, byte: min(start, fileByteCount), at: place,
        .truncated(needed: declaration.byteCount, available: available))
    }
    let first = start + offset
    try advance(over: declaration)
    return GGUFHeader.Entry(
      name: declaration.name, type: declaration.type, shape: declaration.shape,
      range: first..<first + declaration.byteCount)
  }

  private mutating func advance(over declaration: GGUFHeaderReader.Declaration) throws(FormatError) {
    // The tensor is in the file, so the sum without padding fits.
    guard let next = Self.padded(offset + declaration.byteCount, to: alignment),
      !next.addingReportingOverflow(start).overflow
    else {
      throw FormatError(
        path, byte: declaration.offsetPosition, at: "tensor '\(declaration.name)'",
        .malformed("its padding ends beyond any file"))
    }
    offset = next
    olderOffset = olderOffset.flatMap { older in
      olderByteCount(declaration).flatMap { Self.padded(older + $0, to: alignment) }
    }
  }

  private static func padded(_ byteCount: Int, to alignment: Int) -> Int? {
    let (sum, overflow) = byteCount.addingReportingOverflow(alignment - 1)
    return overflow ? nil : sum & ~(alignment - 1)
  }

  // Type 42 was first used for blocks of 128 weights in 34 bytes. Nothing in such a file says so but its sizes.

  private func olderByteCount(_ declaration: GGUFHeaderReader.Declaration) -> Int? {
    guard declaration.type == .q2_0 else { return declaration.byteCount }
    guard let rowLength = declaration.shape.last, rowLength % 128 == 0 else { return nil }
    return declaration.byteCount / (2 * declaration.type.blockByteCount) * 34
  }

  private func endsAtOlderSize(_ declaration: GGUFHeaderReader.Declaration) -> Bool {
    guard declaration.type == .q2_0, let byteCount = olderByteCount(declaration),
      let padded = Self.padded(byteCount, to: alignment)
    else { return false }
    let left = fileByteCount - start - offset
    return left == byteCount || left == padded
  }

  private func olderBlocks(_ declaration: GGUFHeaderReader.Declaration) -> FormatError {
    FormatError(
      path, byte: declaration.offsetPosition, at: "tensor '\(declaration.name)'",
      .unsupported("is of type 42 in its older blocks of 128 weights; the sizes are not those of Q2_0"))
  }
}
