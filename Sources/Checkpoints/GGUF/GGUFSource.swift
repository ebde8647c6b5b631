import Kernels

/// How a tensor of a checkpoint is made from a tensor of a GGUF file.
struct GGUFSource: Sendable {
  /// What is taken from the blocks.
  enum Content: Sendable {
    /// The values, as they are stored.
    case stored
    /// The values after something is undone, rounded to nearest even if the dtype holds fewer digits.
    case rounded(DType, undoing: GGUFTransform)
    /// A tensor of a packed module, one of its layout's `partKinds`.
    case part(ModuleTensor, GGUFPacking)
  }

  let entry: GGUFHeader.Entry
  let content: Content
  /// The order of the rows in the file; of a vector, that of its elements.
  let order: GGUFRowOrder
  /// The order of the columns in the file; blocks of codes are whole in it.
  let columnOrder: GGUFRowOrder
  /// What multiplies values that are rounded.
  var factor: Float = 1

  /// Whether the values are floats, not codes or tables.
  var isFloats: Bool {
    switch content {
    case .stored, .rounded: true
    case .part: false
    }
  }

  /// How the file stores the source of the tensor, or nil when it stores the tensor as described.
  var storedForm: StoredForm? {
    switch content {
    case .stored: return nil
    case .rounded: return StoredForm(type: entry.type.name, byteCount: entry.range.count)
    case .part(let kind, let packing):
      let blockCount = entry.range.count / entry.type.blockByteCount
      let byteCount =
        packing.layout.superBlock.map { GGUFSuperBlock($0).byteCount(of: kind) }
        ?? GGUFCodes(entry.type)?.byteCount(of: kind) ?? 0
      return StoredForm(type: entry.type.name, byteCount: blockCount * byteCount)
    }
  }

  /// The number of rows.
  ///
  /// The values of a reordered bias count as rows of one value.
  var rowCount: Int { isReorderedVector ? entry.rowLength : entry.shape.dropLast().reduce(1, *) }
  private var isReorderedVector: Bool { order != .plain && entry.shape.count == 1 }
  private var rowByteCount: Int { isReorderedVector ? entry.type.blockByteCount : entry.rowByteCount }
  private var rowLength: Int { isReorderedVector ? 1 : entry.rowLength }

  /// The range of a checkpoint's row in the file.
  private func range(ofRow row: Int) -> Range<Int> {
    let start = entry.range.lowerBound + order.place(of: row) * rowByteCount
    return start..<start + rowByteCount
  }
}

extension GGUFSource {
  /// The approximate number of bytes of an output that are made at a time.
  private static let chunkByteCount = 1 << 18

  /// The bytes of the tensor of the checkpoint.
  ///
  /// - Parameters:
  ///   - file: The file of the entry.
  ///   - byteCount: The size of the tensor.
  /// - Returns: The bytes of the file in place if nothing has to be done, otherwise new ones.
  /// - Throws: `FormatError` when codes or tables do not fit the packing.
  func bytes(of file: InputFile, byteCount: Int) throws(FormatError) -> TensorBytes {
    let source = try file.bytes(in: entry.range)
    if case .stored = content, order == .plain, columnOrder == .plain { return source }
    var output = [UInt8](repeating: 0, count: byteCount)
    guard byteCount > 0 else { return TensorBytes(output) }
    let outputRow = byteCount / rowCount
    var span = output.mutableSpan
    try parallelRows(
      of: &span, columnCount: outputRow, rowsPerChunk: max(1, Self.chunkByteCount / outputRow)
    ) { (rows, part) throws(FormatError) in
      var scratch = GGUFRowScratch()
      for (i, row) in rows.enumerated() {
        var out = part.slice(i * outputRow..<(i + 1) * outputRow)
        let place = range(ofRow: row)
        try source.withSpan { bytes throws(FormatError) in
          let stored = bytes.extracting(
            place.lowerBound - entry.range.lowerBound..<place.upperBound - entry.range.lowerBound)
          try write(stored, row: row, of: file.path, &scratch, into: &out)
        }
      }
    }
    return TensorBytes(output)
  }

  private func write(
    _ bytes: RawSpan, row: Int, of path: String, _ scratch: inout GGUFRowScratch,
    into out: inout MutableSpan<UInt8>
  ) throws(FormatError) {
    switch content {
    case .stored:
      guard columnOrder != .plain else {
        for i in out.indices { out[i] = bytes.byte(at: i) }
        return
      }
      let width = out.count / rowLength
      for i in out.indices {
        let (column, byte) = i.quotientAndRemainder(dividingBy: width)
        out[i] = bytes.byte(at: columnOrder.place(of: column) * width + byte)
      }
    case .rounded(let dtype, let transform):
      guard let format = FloatFormat(dtype) else { preconditionFailure("\(dtype.rawValue) is no float") }
      scratch.reserve(floats: rowLength)
      var values = scratch.floats.mutableSpan
      entry.type.decode(bytes, into: &values)
      if factor != 1 { for i in values.indices { values[i] *= factor } }
      if transform != .none { for i in values.indices { values[i] = transform.undone(on: values[i]) } }
      if columnOrder != .plain {
        scratch.floats = scratch.floats.indices.map { scratch.floats[columnOrder.place(of: $0)] }
      }
      narrow(scratch.floats.span, to: format, into: &out)
    case .part(let kind, let packing):
      if let superBlock = packing.layout.superBlock {
        return GGUFSuperBlock(superBlock).read(kind, of: bytes, order: columnOrder, into: &out)
      }
      let reader = GGUFRow(of: entry, row: row, packing, columnOrder, path: path)
      guard kind == .weight else { return try reader.writeTable(bytes, isBias: kind == .biases, into: &out) }
      scratch.reserve(codes: rowLength)
      try reader.writeCodes(bytes, &scratch.codes, into: &out)
    }
  }
}

/// Scratch memory for one row, reused for the next.
private struct GGUFRowScratch {
  var floats: [Float] = []
  var codes: [UInt8] = []

  mutating func reserve(floats count: Int) {
    if floats.count != count { floats = [Float](repeating: 0, count: count) }
  }

  mutating func reserve(codes count: Int) {
    if codes.count != count { codes = [UInt8](repeating: 0, count: count) }
  }
}

/// One row of a tensor that becomes codes and tables.
private struct GGUFRow {
  private let reader: GGUFCodes
  private let entry: GGUFHeader.Entry
  private let row: Int
  private let packing: GGUFPacking
  private let columnOrder: GGUFRowOrder
  private let path: String

  init(
    of entry: GGUFHeader.Entry, row: Int, _ packing: GGUFPacking, _ columnOrder: GGUFRowOrder, path: String
  ) {
    guard let reader = GGUFCodes(entry.type) else { preconditionFailure("\(entry.type.name) has no codes") }
    self.reader = reader
    self.entry = entry
    self.row = row
    self.packing = packing
    self.columnOrder = columnOrder
    self.path = path
  }

  private func refused(_ reason: String) -> FormatError {
    FormatError(
      path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'", .malformed("row \(row): \(reason)"))
  }

  func writeCodes(
    _ bytes: RawSpan, _ codes: inout [UInt8], into out: inout MutableSpan<UInt8>
  ) throws(FormatError) {
    var span = codes.mutableSpan
    reader.read(bytes, into: &span)
    let bits = packing.layout.bits
    var all: UInt8 = 0
    for i in span.indices { all |= span[i] }
    guard bits == 8 || all >> UInt8(bits) == 0 else { throw refused("a code does not fit \(bits) bits") }
    if columnOrder != .plain { codes = codes.indices.map { codes[columnOrder.place(of: $0)] } }
    packCodes(codes.span, bits: bits, into: &out)
  }

  func writeTable(
    _ bytes: RawSpan, isBias: Bool, into out: inout MutableSpan<UInt8>
  ) throws(FormatError) {
    guard let format = FloatFormat(packing.tables) else { preconditionFailure("no table of such a dtype") }
    let blocksPerGroup = packing.layout.groupSize / entry.type.blockElementCount
    let blockCount = bytes.byteCount / entry.type.blockByteCount
    var table: [Float] = []
    table.reserveCapacity(blockCount / blocksPerGroup)
    let size = entry.type.blockElementCount
    for start in stride(from: 0, to: blockCount, by: blocksPerGroup) {
      let first = columnOrder.place(of: start * size) / size
      let bits = reader.tableBits(bytes, block: first)
      for other in start + 1..<start + blocksPerGroup {
        let block = columnOrder.place(of: other * size) / size
        guard reader.tableBits(bytes, block: block) == bits else {
          throw refused("blocks \(first) and \(block) belong to one group but have different scales")
        }
      }
      table.append(isBias ? reader.bias(bytes, block: first) : reader.scale(bytes, block: first))
    }
    let stored = narrowed(table, to: format)
    for (value, restored) in zip(table, widened(stored, from: format)) where value != restored {
      throw refused("\(value) is not representable in \(packing.tables.rawValue)")
    }
    for i in out.indices { out[i] = stored[i] }
  }
}
