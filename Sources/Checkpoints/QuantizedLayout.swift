internal import Kernels

/// How the quantized weight of a module is laid out in tensors, and what its values are.
///
/// All code that checks, counts, reads, compares or writes quantized weights asks this type. A new layout
/// provides:
///
/// - its tensors: `parts(rows:columns:)`, each with an ending of `ModuleTensor`, the dtypes it may have and
///   its shape, and `columnCount(wordCount:)`, the way back from the stored `m.weight` to the columns of the
///   matrix;
/// - its limits: `problem`, and `isComputed` for what the kernels take;
/// - its values: a case of `decode`, and of `Checkpoint.quantizedWeight`, which reads its tensors;
/// - its tables: the exact scale and bias of each group, `QuantizedWeight.scales` and `.biases`, which all
///   computations take, and what they are made of if they are not free;
/// - its words: keys in `members` and `init(members:)`, which manifests and GGUF metadata share, and
///   `description`.
///
/// Bit pictures and arithmetic are in `Formats/packed.md`.
public enum QuantizedLayout: Sendable, Hashable {
  /// Codes of some bits with a scale and a bias for each group of columns: `scale * code + bias`.
  case affine(bits: Int, groupSize: Int)
  /// Codes of some bits with a scale for each group of columns, and a code that stands for zero.
  case zeroPoint(ZeroPointGrid, bits: Int, groupSize: Int)
  /// Codes with the tables of a super-block.
  case superBlock(SuperBlock)

  /// The supported widths of a code.
  public static let codeWidths = [2, 3, 4, 5, 6, 8]

  /// Describes codes with a scale and a bias for each group.
  ///
  /// - Parameters:
  ///   - bits: The width of a code; one of `codeWidths` in a checkpoint that is valid.
  ///   - groupSize: The columns that share a scale and a bias.
  public init(bits: Int, groupSize: Int) { self = .affine(bits: bits, groupSize: groupSize) }

  /// The width of a code.
  public var bits: Int {
    switch self {
    case .affine(let bits, _), .zeroPoint(_, let bits, _): bits
    case .superBlock(let kind): kind.bits
    }
  }

  /// The width of a code in memory, where the points of a lattice are codes of 8 bits.
  package var codeBits: Int { superBlock?.codeBits ?? bits }

  /// The columns of a group.
  public var groupSize: Int {
    switch self {
    case .affine(_, let groupSize), .zeroPoint(_, _, let groupSize): groupSize
    case .superBlock(let kind): kind.groupSize
    }
  }

  /// The type of the super-blocks; nil when each group has a free scale.
  public var superBlock: SuperBlock? {
    switch self {
    case .affine, .zeroPoint: nil
    case .superBlock(let kind): kind
    }
  }

  /// Which codes stand for zero; nil when biases are free, or when tables are those of super-blocks.
  public var zeroPointGrid: ZeroPointGrid? {
    switch self {
    case .affine, .superBlock: nil
    case .zeroPoint(let grid, _, _): grid
    }
  }

  /// Whether each group has a free scale and a free bias.
  public var isFree: Bool { if case .affine = self { true } else { false } }

  /// Whether biases are other numbers than multiples of the scales.
  package var hasOwnBiases: Bool {
    switch self {
    case .affine: true
    case .zeroPoint: false
    case .superBlock(let kind): kind.zeroPoint == nil
    }
  }

  /// The name of the grid; nil when tables are free.
  package var gridName: String? { superBlock?.rawValue ?? zeroPointGrid?.rawValue }

  /// The columns that share tables; a row has whole blocks of them.
  package var blockColumnCount: Int { superBlock == nil ? groupSize : SuperBlock.columnCount }
}

extension QuantizedLayout: CustomStringConvertible {
  /// The layout as a phrase: `2 bits, groups of 64`, `2 bits, groups of 64, portable`, or `2 bits, q2_k`.
  public var description: String { "\(bits) bits, \(tablePhrase)" }

  /// What shares tables as a phrase: `groups of 64`, `groups of 64, portable`, or `q2_k`.
  package var tablePhrase: String { superBlock?.rawValue ?? groupPhrase }

  /// The layout within a sentence: `2 bits in groups of 64`, or `2 bits in blocks of q2_k`.
  package var phrase: String {
    "\(bits) bits in \(superBlock.map { "blocks of \($0.rawValue)" } ?? groupPhrase)"
  }

  private var groupPhrase: String {
    "groups of \(groupSize)" + (zeroPointGrid.map { ", \($0.rawValue)" } ?? "")
  }
}

extension QuantizedLayout {
  /// One tensor of a quantized weight.
  package struct Part: Sendable, Equatable {
    /// The ending of its name.
    package let kind: ModuleTensor
    /// The dtypes it may have.
    package let dtypes: [DType]
    /// The dimensions, slowest first.
    package let shape: [Int]
  }

  /// The maximum group size, far above any in use and far from overflow when multiplied by the bits.
  private static let groupSizeLimit = 1 << 32
  private static let tableTypes: [DType] = [.f16, .bf16, .f32]

  /// The endings of the tensors, in the order in which they are written; the first is `.weight`.
  package var partKinds: [ModuleTensor] {
    switch self {
    case .affine: [.weight, .scales, .biases]
    case .zeroPoint(.symmetric, _, _): [.weight, .scales]
    case .zeroPoint: [.weight, .scales, .zeroPoints]
    case .superBlock: [.weight, .blockSteps, .blockFactors]
    }
  }

  /// The problem of the layout's numbers, or nil when modules can have the layout.
  package var problem: FormatError.Problem? {
    guard Self.codeWidths.contains(bits) else { return .unsupported("\(bits)-bit codes are not supported") }
    guard (1...Self.groupSizeLimit).contains(groupSize) else {
      return .malformed("groups of \(groupSize) columns")
    }
    if let grid = zeroPointGrid, !grid.allows(bits: bits) {
      return .unsupported("\(bits)-bit codes are not supported by the grid '\(grid.rawValue)'")
    }
    return nil
  }

  /// Whether the kernels can compute with the layout; the formats allow any group size.
  package var isComputed: Bool { groupSize % 8 == 0 }

  /// The number of columns that a row of stored codes holds.
  ///
  /// - Parameter wordCount: The second dimension of `m.weight`.
  /// - Returns: Nil when the words are not whole groups, or the number overflows. `problem` must be nil.
  package func columnCount(wordCount: Int) -> Int? {
    let (bitCount, overflow) = wordCount.multipliedReportingOverflow(by: 32)
    guard !overflow, bitCount % blockBitCount == 0 else { return nil }
    let blockCount = bitCount / blockBitCount
    let (columnCount, isTooLarge) = blockCount.multipliedReportingOverflow(by: blockColumnCount)
    return isTooLarge ? nil : columnCount
  }

  /// The bits of the stored codes of the columns that share tables.
  private var blockBitCount: Int { superBlock.map { 8 * $0.codeByteCount } ?? bits * groupSize }

  /// The shape `[out, in]` of the weights in the stored `m.weight` of a validated checkpoint.
  package func shape(ofStored weight: TensorInfo) -> [Int] {
    [weight.shape[0], columnCount(wordCount: weight.shape[1]) ?? 0]
  }

  /// The number of weights in the stored `m.weight` of a validated checkpoint.
  package func weightCount(ofStored weight: TensorInfo) -> Int {
    weight.byteCount * 8 / blockBitCount * blockColumnCount
  }

  /// Whether a row with these columns fits the layout: whole groups and whole words.
  package func fits(columns: Int) -> Bool {
    columns % blockColumnCount == 0 && columns / blockColumnCount * blockBitCount % 32 == 0
  }

  /// The words of a row of stored codes.
  private func wordCount(columns: Int) -> Int { columns / blockColumnCount * blockBitCount / 32 }

  /// The tensors of a weight.
  ///
  /// - Parameters:
  ///   - rows: The output features.
  ///   - columns: The input features, which the layout fits.
  /// - Returns: As many as `partKinds`, in that order.
  package func parts(rows: Int, columns: Int) -> [Part] {
    let codes = Part(kind: .weight, dtypes: [.u32], shape: [rows, wordCount(columns: columns)])
    switch self {
    case .affine:
      let table = [rows, columns / groupSize]
      return [codes] + [.scales, .biases].map { Part(kind: $0, dtypes: Self.tableTypes, shape: table) }
    case .zeroPoint(let grid, let bits, let groupSize):
      let groups = columns / groupSize
      let scales = Part(kind: .scales, dtypes: Self.tableTypes, shape: [rows, groups])
      guard grid != .symmetric else { return [codes, scales] }
      let byteCount = ZeroPoints.byteCount(groups: groups, bits: bits)
      return [codes, scales, Part(kind: .zeroPoints, dtypes: [.u8], shape: [rows, byteCount])]
    case .superBlock(let kind):
      let blocks = columns / SuperBlock.columnCount
      return [
        codes, Part(kind: .blockSteps, dtypes: [.u8], shape: [rows, blocks * kind.stepByteCount]),
        Part(kind: .blockFactors, dtypes: [.f16], shape: [rows, blocks * kind.factorCount]),
      ]
    }
  }

  /// The descriptions of a module's tensors.
  ///
  /// - Parameters:
  ///   - module: The module's name.
  ///   - rows: The output features.
  ///   - columns: The input features, which the layout fits.
  ///   - tables: The dtype of tensors that may have several.
  /// - Returns: As many as `partKinds`, in that order.
  package func tensors(of module: String, rows: Int, columns: Int, tables: DType) -> [TensorInfo] {
    parts(rows: rows, columns: columns).map { part in
      TensorInfo(
        name: part.kind.name(of: module), dtype: part.dtypes.count == 1 ? part.dtypes[0] : tables,
        shape: part.shape)
    }
  }

  /// The bits per weight, including tables; these have a dtype where they may have several.
  ///
  /// Zero points count without the bits that fill the last byte of a row.
  package func bitsPerWeight(tables: DType) -> Double {
    let groupBits: Int
    switch self {
    case .affine: groupBits = 2 * tables.bitWidth
    case .zeroPoint(let grid, let bits, _): groupBits = tables.bitWidth + (grid == .symmetric ? 0 : bits)
    case .superBlock(let kind): return kind.bitsPerWeight
    }
    return Double(bits) + Double(groupBits) / Double(groupSize)
  }
}

extension QuantizedLayout {
  /// Turns stored codes into those that the kernels compute with.
  ///
  /// - Parameter stored: The codes of whole rows, as a checkpoint holds them.
  /// - Returns: The same bytes, except that points of a lattice become a code of 8 bits for each weight.
  package func codes(ofStored stored: TensorBytes) -> TensorBytes {
    guard let kind = superBlock, let lattice = kind.lattice else { return stored }
    let blockCount = stored.count / kind.codeByteCount
    var codes = [UInt8](repeating: 0, count: blockCount * SuperBlock.columnCount)
    var span = codes.mutableSpan
    stored.withSpan { bytes in
      parallelRows(of: &span, columnCount: SuperBlock.columnCount, rowsPerChunk: Self.blocksPerChunk) {
        blocks, part in
        lattice.decode(
          bytes.extracting(blocks.lowerBound * kind.codeByteCount..<blocks.upperBound * kind.codeByteCount),
          into: &part)
      }
    }
    return TensorBytes(codes)
  }

  /// Turns codes that the kernels compute with into those of a checkpoint, the reverse of `codes(ofStored:)`.
  package func storedCodes(_ codes: [UInt8]) -> [UInt8] {
    guard let kind = superBlock, let lattice = kind.lattice else { return codes }
    var stored = [UInt8](repeating: 0, count: codes.count / SuperBlock.columnCount * kind.codeByteCount)
    var span = stored.mutableSpan
    let codes = codes.span
    parallelRows(of: &span, columnCount: kind.codeByteCount, rowsPerChunk: Self.blocksPerChunk) {
      blocks, part in
      let columns = blocks.lowerBound * SuperBlock.columnCount..<blocks.upperBound * SuperBlock.columnCount
      let wrong = lattice.encode(codes.extracting(columns), into: &part)
      precondition(wrong == nil, "the codes from \(columns.lowerBound + (wrong ?? 0)) are no point")
    }
    return stored
  }

  /// Turns codes that the kernels compute with into those of a checkpoint; nothing is copied but points.
  package func storedCodes(_ codes: TensorBytes) -> TensorBytes {
    superBlock?.lattice == nil ? codes : TensorBytes(storedCodes(codes.withSpan { $0.copiedBytes() }))
  }

  /// Enough blocks to be worth a thread.
  private static let blocksPerChunk = 1024

  /// Computes the weights of rows.
  ///
  /// - Parameters:
  ///   - codes: The codes of the rows as they are in memory, from `codes(ofStored:)`.
  ///   - scales: The scales of the rows, one for each group.
  ///   - biases: The biases of the rows, one for each group.
  ///   - columnCount: The columns of a row.
  ///   - groups: The groups of a row that are wanted; nil for all.
  ///   - values: Gets `[rows, columns of the groups]`.
  package func decode(
    codes: RawSpan, scales: Span<Float>, biases: Span<Float>, columnCount: Int, groups: Range<Int>? = nil,
    into values: inout MutableSpan<Float>
  ) {
    dequantize(
      codes: codes, bits: codeBits, groupSize: groupSize, columnCount: columnCount, scales: scales,
      biases: biases, groups: groups ?? 0..<columnCount / groupSize, into: &values)
  }

  /// Computes the weights of rows as bf16, two bytes each; see `decode`.
  package func decodeToBF16(
    codes: RawSpan, scales: Span<Float>, biases: Span<Float>, columnCount: Int, groups: Range<Int>,
    into values: inout MutableSpan<UInt8>
  ) {
    dequantizeToBF16(
      codes: codes, bits: codeBits, groupSize: groupSize, columnCount: columnCount, scales: scales,
      biases: biases, groups: groups, into: &values)
  }
}

extension QuantizedLayout {
  /// The layout as members of a JSON object.
  package var members: [JSONValue.Member] {
    [.init("bits", .integer(bits)), .init("group_size", .integer(groupSize))]
      + (gridName.map { [.init("grid", .string($0))] } ?? [])
  }

  /// The keys of `members`.
  static let memberKeys: Set<String> = ["bits", "group_size", "grid"]

  /// Reads what `members` wrote; other keys are the caller's.
  ///
  /// - Parameter value: An object.
  /// - Throws: `LayoutDefect` with the key.
  init(members value: JSONValue) throws(LayoutDefect) {
    guard let bits = value["bits"]?.integer, Self.codeWidths.contains(bits) else {
      throw LayoutDefect("'bits' is not \(Self.codeWidths.alternatives())")
    }
    guard let groupSize = value["group_size"]?.integer, groupSize >= 1 else {
      throw LayoutDefect("'group_size' is not a positive integer")
    }
    guard let grid = value["grid"] else {
      self = .affine(bits: bits, groupSize: groupSize)
      return
    }
    guard let layout = grid.string.flatMap({ Self(grid: $0, bits: bits, groupSize: groupSize) }) else {
      throw LayoutDefect("'grid' is not \(Self.gridNames.alternatives())")
    }
    if let problem = layout.numbersProblem(bits: bits, groupSize: groupSize) { throw LayoutDefect(problem) }
    self = layout
  }
}

extension QuantizedLayout {
  /// The names of all grids whose tables are not free.
  package static let gridNames = ZeroPointGrid.allCases.map(\.rawValue) + SuperBlock.allCases.map(\.rawValue)

  /// The layout of a grid, whose numbers may contradict the given ones; nil for an unknown name.
  init?(grid name: String, bits: Int, groupSize: Int) {
    if let grid = ZeroPointGrid(rawValue: name) {
      self = .zeroPoint(grid, bits: bits, groupSize: groupSize)
    } else if let kind = SuperBlock(rawValue: name) {
      self = .superBlock(kind)
    } else {
      return nil
    }
  }

  /// Why numbers that stand beside a grid's name are not those of the layout; nil when they are.
  func numbersProblem(bits: Int, groupSize: Int) -> String? {
    if let grid = zeroPointGrid, !grid.allows(bits: bits) {
      return "'bits' are not those of \(grid.rawValue)"
    }
    return (bits, groupSize) == (self.bits, self.groupSize)
      ? nil : "'bits' and 'group_size' are not those of \(gridName ?? "the grid")"
  }
}

/// Why an object does not describe a layout, as a phrase.
struct LayoutDefect: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}
