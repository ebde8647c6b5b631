/// Gives the tensors of a GGUF file their places, and checks that they cover the data exactly once.
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
  /// - Throws: `FormatError` when an offset is not the sum of the sizes before it, when bytes are missing, or
  ///   when some follow the last tensor.
  mutating func place(
    _ declarations: [GGUFHeaderReader.Declaration]
  ) throws(FormatError) -> [GGUFHeader.Entry] {
    var entries: [GGUFHeader.Entry] = []
    entries.reserveCapacity(declarations.count)
    for (i, declaration) in declarations.enumerated() {
      do throws(FormatError) {
        entries.append(try place(declaration))
      } catch {
        let older = OlderQ2Blocks(declarations[...i], alignment: alignment)
        let isOlder = older.explain(declaration, at: offset, leaving: fileByteCount - start)
        throw isOlder ? Self.olderBlocks(declaration, path) : error
      }
    }
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
      throw FormatError(
        path, byte: declaration.offsetPosition, at: place,
        .malformed("its offset is \(declaration.offset), the tensors before it end at \(offset)"))
    }
    guard start <= fileByteCount, offset <= fileByteCount - start,
      declaration.byteCount <= fileByteCount - start - offset
    else {
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
    // The tensor is in the file, so the sum without padding does not overflow.
    guard let next = Self.padded(offset + declaration.byteCount, to: alignment),
      !next.addingReportingOverflow(start).overflow
    else {
      throw FormatError(
        path, byte: declaration.offsetPosition, at: "tensor '\(declaration.name)'",
        .malformed("its padding ends beyond any file"))
    }
    offset = next
  }

  fileprivate static func padded(_ byteCount: Int, to alignment: Int) -> Int? {
    let (sum, overflow) = byteCount.addingReportingOverflow(alignment - 1)
    return overflow ? nil : sum & ~(alignment - 1)
  }

  private static func olderBlocks(_ declaration: GGUFHeaderReader.Declaration, _ path: String) -> FormatError
  {
    FormatError(
      path, byte: declaration.offsetPosition, at: "tensor '\(declaration.name)'",
      .unsupported("is of type 42 in its older blocks of 128 weights; the sizes are not those of Q2_0"))
  }
}

/// The sizes of tensors if type 42 stands for blocks of 128 weights in 34 bytes, its first definition.
///
/// Only the sizes tell such a file apart, so this is checked when a tensor has no place.
private struct OlderQ2Blocks {
  private let alignment: Int
  /// The start of the last tensor, from the start of the data; nil when an earlier row cannot have such
  /// blocks.
  private var offset: Int? = 0

  /// Adds up the sizes before the last of some tensors; all but the last have a place in the file.
  init(_ declarations: ArraySlice<GGUFHeaderReader.Declaration>, alignment: Int) {
    self.alignment = alignment
    for declaration in declarations.dropLast() {
      offset = offset.flatMap { offset in
        Self.byteCount(declaration).flatMap { GGUFLayout.padded(offset + $0, to: alignment) }
      }
    }
  }

  private static func byteCount(_ declaration: GGUFHeaderReader.Declaration) -> Int? {
    guard declaration.type == .q2_0 else { return declaration.byteCount }
    guard let rowLength = declaration.shape.last, rowLength % 128 == 0 else { return nil }
    return declaration.byteCount / (2 * declaration.type.blockByteCount) * 34
  }

  /// Whether older blocks explain why a tensor has no place.
  ///
  /// - Parameters:
  ///   - declaration: The last tensor.
  ///   - expected: Where it should begin, from the start of the data.
  ///   - dataByteCount: The bytes of the file from the start of the data.
  /// - Returns: Whether the sizes are those of the older blocks.
  func explain(
    _ declaration: GGUFHeaderReader.Declaration, at expected: Int, leaving dataByteCount: Int
  ) -> Bool {
    guard declaration.offset == UInt64(expected) else {
      return offset != expected && offset.map { declaration.offset == UInt64($0) } == true
    }
    guard declaration.type == .q2_0, let byteCount = Self.byteCount(declaration) else { return false }
    let left = dataByteCount - expected
    return left == byteCount || left == GGUFLayout.padded(byteCount, to: alignment)
  }
}
