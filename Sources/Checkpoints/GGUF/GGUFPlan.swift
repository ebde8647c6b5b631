import Kernels

/// What tensors a checkpoint has that is made from a GGUF file, and how each is made.
struct GGUFPlan {
  /// In the order of the file; a packed module has its three tensors where the file has the one.
  private(set) var tensors: [TensorInfo] = []
  private(set) var sources: [String: GGUFSource] = [:]
  private(set) var quantization: [String: QuantizationParameters] = [:]
  /// That of the matrices that are not packed.
  let dtype: DType

  private let configuration: GGUFConfiguration
  private let path: String
  private let statement: GGUFStatement
  /// That of the vectors.
  private let vectorDType: DType

  /// Plans every tensor.
  ///
  /// - Parameters:
  ///   - header: What the file has.
  ///   - keys: Its metadata.
  ///   - configuration: The model's.
  ///   - file: The file, whose vectors are looked at.
  /// - Throws: `FormatError` when a tensor belongs to no module, is missing, or cannot be packed as the file says.
  init(
    _ header: GGUFHeader, _ keys: GGUFKeys, _ configuration: GGUFConfiguration, file: InputFile
  ) throws(FormatError) {
    self.configuration = configuration
    path = file.path
    statement = try GGUFStatement(keys)
    let embedding = header.entries.first { $0.name == GGUFTensorNames.embedding }
    dtype = embedding?.type.dtype ?? .bf16
    vectorDType = statement.isOurs ? .f32 : try Self.vectorDType(header.entries, matrices: dtype, file)
    for entry in header.entries where entry.name != GGUFTensorNames.frequencies { try add(entry) }
    let names = Set(header.entries.map(\.name))
    for name in GGUFTensorNames.required(layerCount: configuration.layerCount) where !names.contains(name) {
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
    guard let match = GGUFTensorNames.match(entry.name, layerCount: configuration.layerCount) else {
      throw refused(entry, .unsupported("no such tensor is known in architecture 'llama'"))
    }
    let headSize = try headSize(of: match, entry)
    if match.ending == .weight, let packing = try packing(of: match, entry) {
      try addPacked(match.module, entry, packing, headSize)
      return
    }
    let isVector = entry.shape.count == 1 && entry.type == .f32
    let target =
      statement.dtypes[match.name] ?? (isVector ? vectorDType : entry.type.dtype ?? .bf16)
    let content: GGUFSource.Content = entry.type.dtype == target ? .stored : .rounded(target)
    add(
      TensorInfo(name: match.name, dtype: target, shape: entry.shape),
      GGUFSource(entry: entry, content: content, headSize: headSize))
  }

  private mutating func add(_ tensor: TensorInfo, _ source: GGUFSource) {
    tensors.append(tensor)
    sources[tensor.name] = source
  }

  private mutating func addPacked(
    _ module: String, _ entry: GGUFHeader.Entry, _ packing: GGUFPacking, _ headSize: Int?
  ) throws(FormatError) {
    let (bits, groupSize) = (packing.parameters.bits, packing.parameters.groupSize)
    let (rows, columns) = (entry.shape[0], entry.rowLength)
    guard groupSize % entry.type.blockElementCount == 0, columns % groupSize == 0 else {
      throw refused(
        entry,
        .malformed(
          "groups of \(groupSize) are no whole \(entry.type.name) blocks of rows of \(columns)"))
    }
    func add(_ kind: ModuleTensor, _ dtype: DType, _ columns: Int, _ content: GGUFSource.Content) {
      self.add(
        TensorInfo(name: kind.name(of: module), dtype: dtype, shape: [rows, columns]),
        GGUFSource(entry: entry, content: content, headSize: headSize))
    }
    // A group is a multiple of 32 columns, so words are whole for any width of a code.
    add(.weight, .u32, columns / 32 * bits, .codes(packing))
    add(.scales, packing.tables, columns / groupSize, .scales(packing))
    add(.biases, packing.tables, columns / groupSize, .biases(packing))
    quantization[module] = packing.parameters
  }

  /// How a matrix is packed; nil when it becomes floats.
  private func packing(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> GGUFPacking? {
    let codes = GGUFCodes(entry.type)
    guard let stated = statement.packings[match.module] else {
      return codes?.isTwoBit == true && entry.shape.count == 2 ? .natural(entry.type) : nil
    }
    guard codes != nil, entry.shape.count == 2 else {
      throw refused(
        entry, .malformed("is \(entry.type.name), which has no codes for the packing that the file states"))
    }
    return stated
  }

  /// The rows of a head when they have to be put back in order.
  private func headSize(
    of match: GGUFTensorNames.Match, _ entry: GGUFHeader.Entry
  ) throws(FormatError) -> Int? {
    guard match.part == "attn_q" || match.part == "attn_k" else { return nil }
    let heads = match.part == "attn_q" ? configuration.headCount : configuration.keyValueHeadCount
    let rowCount = match.ending == .weight ? entry.shape[0] : entry.rowLength
    guard entry.shape.count == (match.ending == .weight ? 2 : 1), rowCount == heads * configuration.headSize
    else {
      throw refused(
        entry,
        .malformed("shape \(entry.shape) is not that of \(heads) heads of \(configuration.headSize) rows"))
    }
    guard match.ending == .weight || entry.type.dtype != nil else {
      throw refused(entry, .unsupportedKind("a bias of type \(entry.type.name)"))
    }
    return configuration.headSize
  }

  private func refused(_ entry: GGUFHeader.Entry, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'", problem)
  }

  /// The dtype that all vectors have in the checkpoint.
  ///
  /// GGUF files keep vectors in F32 whatever the model was. Beside matrices of 16 bits they are brought to the dtype of
  /// those, if every value of every vector survives that; otherwise they stay as they are.
  private static func vectorDType(
    _ entries: [GGUFHeader.Entry], matrices dtype: DType, _ file: InputFile
  ) throws(FormatError) -> DType {
    guard dtype != .f32 else { return .f32 }
    let format: FloatFormat = dtype == .f16 ? .f16 : .bf16
    let vectors = entries.lazy.filter {
      $0.shape.count == 1 && $0.type == .f32 && $0.name != GGUFTensorNames.frequencies
    }
    for entry in vectors {
      let values = try file.withBytes(in: entry.range) { widened($0, from: .f32) }
      let restored = widened(narrowed(values, to: format), from: format)
      guard zip(values, restored).allSatisfy({ $0.bitPattern == $1.bitPattern }) else { return .f32 }
    }
    return dtype
  }
}

extension GGUFTensorType {
  /// The dtype of a type without blocks.
  fileprivate var dtype: DType? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default: nil
    }
  }
}
