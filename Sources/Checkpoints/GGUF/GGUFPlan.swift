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
    vectorDType = statement.isOurs ? .f32 : try Self.vectorDType(header.entries, configuration, file)
    for entry in header.entries where !GGUFTensorNames.rotary.contains(entry.name) { try add(entry) }
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
    guard let match = configuration.names.match(entry.name) else {
      let architecture = configuration.family.ggufArchitecture
      throw refused(entry, .unsupported("no such tensor is known in architecture '\(architecture)'"))
    }
    let order = try order(of: match, entry)
    if match.ending == .weight, let packing = try packing(of: match, entry) {
      try addPacked(match.module, entry, packing, order)
      return
    }
    if entry.type.dtype == nil, statement.dtypes[match.name] == nil { countRounded(entry.type) }
    let isVector = entry.shape.count == 1 && entry.type == .f32
    let target =
      statement.dtypes[match.name] ?? (isVector ? vectorDType : entry.type.dtype ?? .bf16)
    let content: GGUFSource.Content =
      entry.type.dtype == target && match.offset == 0 ? .stored : .rounded(target, offset: match.offset)
    add(
      TensorInfo(name: match.name, dtype: target, shape: entry.shape),
      GGUFSource(entry: entry, content: content, order: order))
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
  }

  private mutating func add(_ tensor: TensorInfo, _ source: GGUFSource) {
    tensors.append(tensor)
    sources[tensor.name] = source
  }

  private mutating func addPacked(
    _ module: String, _ entry: GGUFHeader.Entry, _ packing: GGUFPacking, _ order: GGUFRowOrder
  ) throws(FormatError) {
    let layout = packing.layout
    let (rows, columns) = (entry.shape[0], entry.rowLength)
    guard layout.groupSize % entry.type.blockElementCount == 0, layout.fits(columns: columns) else {
      throw refused(
        entry,
        .malformed(
          "groups of \(layout.groupSize) are not whole \(entry.type.name) blocks of rows of \(columns)"))
    }
    let tensors = layout.tensors(of: module, rows: rows, columns: columns, tables: packing.tables)
    for (kind, tensor) in zip(layout.partKinds, tensors) {
      add(tensor, GGUFSource(entry: entry, content: .part(kind, packing), order: order))
    }
    quantization[module] = layout
  }

  /// The packing of a matrix; nil when it becomes floats.
  private func packing(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> GGUFPacking? {
    guard let stated = statement.packings[match.module] else {
      // A stated dtype holds the values of the blocks, because they were chosen for it.
      guard entry.shape.count == 2, statement.dtypes[match.name] == nil else { return nil }
      return .natural(entry.type)
    }
    guard GGUFCodes(entry.type) != nil, entry.shape.count == 2 else {
      throw refused(
        entry, .malformed("is \(entry.type.name), which has no codes for the packing that the file states"))
    }
    return stated
  }

  /// The order of the rows, which have to be those of whole heads if they change places.
  private func order(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> GGUFRowOrder {
    let order = match.slot.ggufOrder
    guard order != .plain, let headCount = match.slot.axes[0].headCount,
      let headSize = match.slot.axes[0].headSize
    else { return .plain }
    let rowCount = match.ending == .weight ? entry.shape[0] : entry.rowLength
    guard entry.shape.count == (match.ending == .weight ? 2 : 1), rowCount == headCount * headSize else {
      throw refused(
        entry, .malformed("shape \(entry.shape) is not that of \(headCount) heads of \(headSize) rows"))
    }
    guard match.ending == .weight || entry.type.dtype != nil else {
      throw refused(entry, .unsupportedKind("a bias of type \(entry.type.name)"))
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
    let vectors = entries.lazy.filter {
      $0.shape.count == 1 && $0.type == .f32 && !GGUFTensorNames.rotary.contains($0.name)
    }
    for entry in vectors {
      let offset = configuration.names.match(entry.name)?.offset ?? 0
      let stored = try file.withBytes(in: entry.range) { widened($0, from: .f32) }
      // Subtracting 0 would change the sign of a zero.
      let values = offset == 0 ? stored : stored.map { $0 - offset }
      let restored = widened(narrowed(values, to: format), from: format)
      guard zip(values, restored).allSatisfy({ $0.bitPattern == $1.bitPattern }) else { return .f32 }
    }
    return dtype
  }
}
