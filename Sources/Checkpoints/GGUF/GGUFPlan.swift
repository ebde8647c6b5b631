import Kernels

/// The tensors of a checkpoint that is made from a GGUF file, and how each is made.
struct GGUFPlan {
  /// The tensors in the order of the file; a packed module has three tensors where the file has one.
  private(set) var tensors: [TensorInfo] = []
  private(set) var sources: [String: GGUFSource] = [:]
  private(set) var quantization: [String: QuantizedLayout] = [:]
  /// The tensors that are rounded, by their type, in the order of the types' first appearance.
  private var rounded: [(type: GGUFTensorType, count: Int)] = []

  private let configuration: GGUFConfiguration
  private let path: String
  private let statement: GGUFStatement
  /// The dtype of the vectors.
  private let vectorDType: DType
  private let scales: GGUFScales

  /// Plans every tensor.
  ///
  /// - Parameters:
  ///   - header: The header of the file.
  ///   - keys: Its metadata.
  ///   - configuration: The configuration of the model.
  ///   - file: The file; its vectors are read.
  /// - Throws: `FormatError` when a tensor belongs to no module, is missing, or cannot be packed as the file
  ///   says.
  init(
    _ header: GGUFHeader, _ keys: GGUFKeys, _ configuration: GGUFConfiguration, file: InputFile
  ) throws(FormatError) {
    self.configuration = configuration
    path = file.path
    statement = try GGUFStatement(keys)
    scales = try GGUFScales(header.entries, file)
    let others = GGUFTensorNames.rotary.union(scales.names)
    let entries = header.entries.filter { !others.contains($0.name) }
    vectorDType = statement.isOurs ? .f32 : try Self.vectorDType(entries, configuration, file)
    for entry in entries { try add(entry) }
    let names = Set(header.entries.map(\.name))
    for name in configuration.names.required where !names.contains(name) {
      throw FormatError(path, .missing("tensor '\(name)'"))
    }
    for module in statement.packings.keys.sorted(by: precedes) where quantization[module] == nil {
      throw keys.error(GGUFStatement.key, .missing("module '\(module)'"))
    }
    for name in statement.dtypes.keys.sorted(by: precedes) where sources[name]?.isFloats != true {
      throw keys.error(GGUFStatement.key, .missing("a tensor '\(name)' of floats"))
    }
  }

  private mutating func add(_ entry: GGUFHeader.Entry) throws(FormatError) {
    let matches = configuration.names.matches(entry.name)
    guard let first = matches.first else {
      let architecture = configuration.family.ggufArchitecture
      throw refused(entry, .unsupported("no such tensor is known in architecture '\(architecture)'"))
    }
    guard first.isStacked else { return try add(entry, as: first, factor: scales.factor(of: entry.name)) }
    guard entry.shape.count == (first.ending == .weight ? 3 : 2), entry.shape[0] == matches.count else {
      throw refused(entry, .malformed("shape \(entry.shape) is not that of \(matches.count) experts"))
    }
    for (index, match) in matches.enumerated() {
      try add(
        entry.part(index, of: matches.count), as: match,
        factor: scales.factor(of: entry.name, expert: index))
    }
  }

  /// Plans a tensor of the checkpoint.
  private mutating func add(
    _ entry: GGUFHeader.Entry, as match: GGUFTensorNames.Match, factor: Float
  ) throws(FormatError) {
    let order = try order(of: match, entry)
    if match.ending == .weight, let packing = try packing(of: match, entry) {
      try addPacked(match, entry, packing, order)
      return
    }
    // Such a power of two changes no digit.
    let isPower = factor.significandBitPattern == 0 && (-64...64).contains(factor.exponent)
    let isExact = entry.type.isExactInBF16 && isPower
    if entry.type.dtype == nil, !isExact, statement.dtypes[match.name] == nil {
      countRounded(entry.type)
    }
    let isVector = entry.shape.count == 1 && entry.type == .f32
    let target =
      statement.dtypes[match.name] ?? (isVector ? vectorDType : entry.type.dtype ?? .bf16)
    let content: GGUFSource.Content =
      entry.type.dtype == target && match.transform == .none
      ? .stored : .rounded(target, undoing: match.transform)
    add(
      TensorInfo(name: match.name, dtype: target, shape: match.shape(of: entry)),
      GGUFSource(
        entry: entry, content: content, order: order, columnOrder: match.columnOrder(of: entry),
        factor: factor))
  }

  private mutating func countRounded(_ type: GGUFTensorType) {
    if let i = rounded.firstIndex(where: { $0.type == type }) {
      rounded[i].count += 1
    } else {
      rounded.append((type, 1))
    }
  }

  /// Notices about tensors that are not exact in the checkpoint, one line per type.
  var notices: [String] {
    rounded.map { "\($0.type.name): \($0.count) tensor\($0.count == 1 ? "" : "s") rounded to BF16" }
      + (scales.notice.map { [$0] } ?? [])
  }

  private mutating func add(_ tensor: TensorInfo, _ source: GGUFSource) {
    tensors.append(tensor)
    sources[tensor.name] = source
  }

  private mutating func addPacked(
    _ match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry, _ packing: GGUFPacking, _ order: GGUFRowOrder
  ) throws(FormatError) {
    let (module, layout) = (match.module, packing.layout)
    let (rows, columns) = (entry.shape[0], entry.rowLength)
    let size = layout.blockColumnCount
    guard size % entry.type.blockElementCount == 0, layout.fits(columns: columns) else {
      throw refused(
        entry,
        .malformed("groups of \(size) are not whole \(entry.type.name) blocks of rows of \(columns)"))
    }
    let tensors = layout.tensors(of: module, rows: rows, columns: columns, tables: packing.tables)
    for (kind, tensor) in zip(layout.partKinds, tensors) {
      add(
        tensor,
        GGUFSource(
          entry: entry, content: .part(kind, packing), order: order, columnOrder: match.columnOrder(of: entry)
        ))
    }
    quantization[module] = layout
  }

  /// The packing of a matrix; nil when it becomes floats.
  private func packing(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> GGUFPacking? {
    guard let stated = statement.packings[match.module] else {
      // A stated dtype holds the values of the blocks, because they were chosen for it.
      guard entry.shape.count == 2, statement.dtypes[match.name] == nil, !splitsBlocks(entry, match) else {
        return nil
      }
      return .natural(entry.type)
    }
    guard stated.fits(entry.type), entry.shape.count == 2 else {
      throw refused(
        entry, .malformed("is \(entry.type.name), which has no codes for the packing that the file states"))
    }
    guard !splitsBlocks(entry, match) else {
      throw refused(
        entry, .malformed("has \(entry.type.name) blocks that are not whole in heads that change places"))
    }
    return stated
  }

  /// Whether the columns of a block come to different places in the checkpoint.
  private func splitsBlocks(_ entry: GGUFHeader.Entry, _ match: GGUFTensorNames.Match) -> Bool {
    guard case .tiled(let tiling) = match.columnOrder(of: entry) else { return false }
    return tiling.headSize % entry.type.blockElementCount != 0
  }

  /// The order of the rows, which have to be those of all heads if they change places.
  private func order(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> GGUFRowOrder {
    let (order, slot) = (match.slot.ggufOrder, match.slot)
    if match.slot.ggufColumnOrder != .plain, match.ending == .weight, entry.shape != slot.shape {
      throw refused(
        entry, .malformed("shape \(entry.shape) is not that of heads with \(slot.shape[1]) columns"))
    }
    guard order != .plain else { return .plain }
    let isMatrix = slot.ggufShape.count == 2 && match.ending == .weight
    guard entry.shape.count == (isMatrix ? 2 : 1), entry.shape[0] == slot.shape[0] else {
      let heads =
        slot.axes[0].headCount.map { "\($0) heads of \(slot.shape[0] / $0)" } ?? "heads with \(slot.shape[0])"
      throw refused(entry, .malformed("shape \(entry.shape) is not that of \(heads) rows"))
    }
    guard isMatrix || entry.type.dtype != nil else {
      throw refused(entry, .unsupportedKind("a vector of type \(entry.type.name)"))
    }
    return order
  }

  private func refused(_ entry: GGUFHeader.Entry, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'", problem)
  }

  /// The dtype that all vectors have in the checkpoint.
  ///
  /// GGUF files store vectors as F32, whatever the original dtype was. If matrices have 16 bits, vectors get
  /// the dtype of the matrices, provided that it holds every value of every vector; otherwise they stay F32.
  private static func vectorDType(
    _ entries: [GGUFHeader.Entry], _ configuration: GGUFConfiguration, _ file: InputFile
  ) throws(FormatError) -> DType {
    let dtype = configuration.dtype
    guard dtype != .f32 else { return .f32 }
    let format = FloatFormat(dtype) ?? .bf16
    for entry in entries where entry.type == .f32 {
      let match = configuration.names.matches(entry.name).first
      guard entry.shape.count == 1 || match?.ending == .bias else { continue }
      let transform = match?.transform ?? .none
      let stored = try file.withBytes(in: entry.range) { widened($0, from: .f32) }
      let values = stored.map(transform.undone)
      let restored = widened(narrowed(values, to: format), from: format)
      // Logarithms are rounded, so that only their exponentials can be compared.
      let isKept =
        transform == .negativeExponential
        ? zip(stored, restored).allSatisfy { $0 == transform.applied(to: $1) }
        : zip(values, restored).allSatisfy { $0.bitPattern == $1.bitPattern }
      guard isKept else { return .f32 }
    }
    return dtype
  }
}

extension GGUFTensorNames.Match {
  /// The shape in a checkpoint; one that differs from that of the description stays, so that it is refused
  /// where it matters.
  fileprivate func shape(of entry: GGUFHeader.Entry) -> [Int] {
    let described = slot.shape
    guard ending == .weight, entry.shape.filter({ $0 != 1 }) == described.filter({ $0 != 1 }) else {
      return entry.shape
    }
    return described
  }

  /// The order of the columns of a matrix.
  fileprivate func columnOrder(of entry: GGUFHeader.Entry) -> GGUFRowOrder {
    ending == .weight && entry.shape.count == 2 ? slot.ggufColumnOrder : .plain
  }
}

extension GGUFHeader.Entry {
  /// One of several equal parts along the slowest dimension, of which there are `count`.
  fileprivate func part(_ index: Int, of count: Int) -> GGUFHeader.Entry {
    let byteCount = range.count / count
    let start = range.lowerBound + index * byteCount
    return GGUFHeader.Entry(
      name: name, type: type, shape: Array(shape.dropFirst()), range: start..<start + byteCount)
  }
}
