import Kernels

/// A tensor of a GGUF file, and the tensors of the checkpoint that it is made from.
struct GGUFExportTensor: Sendable, Equatable {
  /// How the checkpoint holds a part.
  enum Storage: Sendable, Equatable {
    case dense(TensorInfo)
    /// The tensors are those of `QuantizedLayout.partKinds`, in that order.
    case packed(QuantizedLayout, [TensorInfo])

    /// How its codes are laid out; nil for dense values.
    var layout: QuantizedLayout? { if case .packed(let layout, _) = self { layout } else { nil } }

    /// Whether the part has codes.
    var isPacked: Bool { layout != nil }
  }

  /// A matrix or vector of the checkpoint.
  struct Part: Sendable, Equatable {
    /// The module in the checkpoint.
    let module: String
    /// How the checkpoint holds it.
    let storage: Storage

    /// The tensors of the checkpoint, in the order of writing.
    var sources: [TensorInfo] {
      switch storage {
      case .dense(let tensor): [tensor]
      case .packed(_, let tensors): tensors
      }
    }
    /// The name of the weights or codes in the checkpoint.
    var name: String { sources[0].name }
  }

  /// The name in the GGUF file.
  let name: String
  /// The shape of each part in the file: `[columns]` of a vector, `[rows, columns]` of a matrix.
  let shape: [Int]
  /// Whether the file has one dimension more, along which the parts follow each other.
  let isStack: Bool
  /// The parts, which have the same type: one, or one for each expert.
  var parts: [Part]
  /// The order of the rows of a part; of a vector, that of its elements.
  let order: GGUFRowOrder
  /// The order of the columns of a part.
  let columnOrder: GGUFRowOrder
  /// What is done to each value.
  let transform: GGUFTransform
  /// Whether it is a linear of a layer, whose type can be chosen.
  let isLinear: Bool
  /// Whether llama.cpp needs its values in single precision, as those of vectors, routers and convolutions.
  let needsF32: Bool

  /// The tensors of the checkpoint, in the order of writing.
  var sources: [TensorInfo] { parts.flatMap(\.sources) }
  /// The shape in the file.
  var fileShape: [Int] { isStack ? [parts.count] + shape : shape }
  /// The number of weights of a part.
  var partElementCount: Int { shape.reduce(1, *) }
  /// The number of weights.
  var elementCount: Int { partElementCount * parts.count }
  /// The number of columns.
  var columnCount: Int { shape[shape.count - 1] }

  /// The rows of a part to be encoded, from the bytes of its sources.
  func rows(ofPart part: Int, _ bytes: [TensorBytes]) -> GGUFEncodingRows {
    // The elements of a vector are rows if they change places.
    let columnCount = shape.count == 1 && order != .plain ? 1 : columnCount
    let storage: GGUFEncodingRows.Storage =
      switch parts[part].storage {
      case .dense(let tensor) where transform != .none:
        .dense(
          TensorBytes(narrowed(Self.floats(bytes[0], of: tensor).map(transform.applied), to: .f32)), .f32)
      case .dense(let tensor): .dense(bytes[0], Self.format(of: tensor))
      case .packed(.superBlock(let kind), _): .superBlocks(kind, bytes)
      case .packed(let layout, let tensors):
        packed(layout, tensors, bytes)
      }
    return GGUFEncodingRows(
      rowCount: partElementCount / columnCount, columnCount: columnCount, storage: storage,
      columnOrder: columnOrder)
  }

  private func packed(
    _ layout: QuantizedLayout, _ tensors: [TensorInfo], _ bytes: [TensorBytes]
  ) -> GGUFEncodingRows.Storage {
    let tables = Self.tables(layout, tensors.dropFirst(), bytes.dropFirst())
    return .packed(codes: bytes[0], layout, scales: tables.scales, biases: tables.biases)
  }

  /// The scales and biases of a packed weight that has no super-blocks.
  ///
  /// - Parameters:
  ///   - layout: The layout.
  ///   - tensors: The tensors of its tables.
  ///   - bytes: Their bytes.
  /// - Returns: `[rows, groups]` each.
  static func tables(
    _ layout: QuantizedLayout, _ tensors: ArraySlice<TensorInfo>, _ bytes: ArraySlice<TensorBytes>
  ) -> (scales: [Float], biases: [Float]) {
    let (tensors, bytes) = (Array(tensors), Array(bytes))
    let scales = floats(bytes[0], of: tensors[0])
    guard let grid = layout.zeroPointGrid else { return (scales, floats(bytes[1], of: tensors[1])) }
    let (rows, groups) = (tensors[0].shape[0], tensors[0].shape[1])
    let zeroPoints =
      grid == .symmetric
      ? ZeroPoints(symmetric: layout.bits, groupsPerRow: groups, rows: rows)
      : bytes[1].withSpan { ZeroPoints(stored: $0, grid: grid, bits: layout.bits, groupsPerRow: groups) }
    return (scales, zeroPoints.biases(of: scales))
  }

  /// Why the rows are not whole blocks of a type, or nil when they are.
  func columnObstacle(in type: GGUFTensorType) -> String? {
    guard columnCount % type.blockElementCount != 0 else { return nil }
    return "\(columnCount) columns are not whole blocks of \(type.name), which have "
      + "\(type.blockElementCount)"
  }

  /// Why the blocks of a type cannot hold codes of a layout, or nil when they can.
  func obstacle(_ layout: QuantizedLayout, in type: GGUFTensorType) -> String? {
    if let obstacle = GGUFEncoding.obstacle(layout, in: type) { return obstacle }
    guard case .tiled(let tiling) = columnOrder, tiling.headSize % type.blockElementCount != 0 else {
      return nil
    }
    return "\(type.name) has blocks of \(type.blockElementCount) columns, but heads of \(tiling.headSize) "
      + "columns change places"
  }

  /// The values of a tensor of floats.
  static func floats(_ bytes: TensorBytes, of tensor: TensorInfo) -> [Float] {
    bytes.withSpan { widened($0, from: format(of: tensor)) }
  }

  /// Whether the values of a dense part come back when what was done to them in F32 is undone.
  func survives(_ part: Part, _ bytes: TensorBytes) -> Bool {
    guard transform != .none, case .dense(let tensor) = part.storage else { return true }
    let values = Self.floats(bytes, of: tensor)
    let returned = narrowed(
      values.map { transform.undone(on: transform.applied(to: $0)) }, to: Self.format(of: tensor))
    return zip(values, widened(returned, from: Self.format(of: tensor))).allSatisfy { $0 == $1 }
  }

  private static func format(of tensor: TensorInfo) -> FloatFormat {
    guard let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("'\(tensor.name)' is \(tensor.dtype.rawValue)")
    }
    return format
  }
}

extension GGUFExportModel {
  /// The tensors of the model, in the order of the file.
  private var modelTensors: [ModelTensor] { Array(layout.bodyTensors) + (head == .own ? [layout.head] : []) }

  /// The tensors of the GGUF file, in its order, found among those of a checkpoint.
  ///
  /// - Parameters:
  ///   - contents: The checkpoint.
  ///   - path: The path for errors.
  /// - Returns: The tensors, layer by layer, and the names of those that belong to other parts of a larger
  ///   model.
  /// - Throws: `FormatError` when a tensor is missing or has another shape; `.notExact` for a tensor that has
  ///   no place in the file.
  func tensors(
    of contents: CheckpointContents, path: String
  ) throws(FormatError) -> (tensors: [GGUFExportTensor], foreign: [String]) {
    var left = GGUFExportSources(contents, path: path)
    var tensors: [GGUFExportTensor] = []
    // The places of the stacks, which get a part from each expert.
    var stacks: [String: Int] = [:]
    func add(_ tensor: GGUFExportTensor) {
      if let place = stacks[tensor.name] {
        tensors[place].parts += tensor.parts
      } else {
        if tensor.isStack { stacks[tensor.name] = tensors.count }
        tensors.append(tensor)
      }
    }
    for name in redundantTensors { left.remove(name) }
    for tensor in modelTensors {
      let storage = try left.takeStorage(of: tensor)
      guard storage.shape == tensor.shape else {
        throw FormatError(
          path, at: "tensor '\(tensor.name)'", .shape(expected: tensor.shape, found: storage.shape))
      }
      add(tensor.exported(storage))
      guard tensor.canHaveBias, let bias = try left.take(tensor.biasName) else { continue }
      add(try exported(bias, of: tensor, path))
    }
    for tensor in tensors where tensor.isStack { try requireAllExperts(tensor, path) }
    let foreign = contents.tensors.map(\.name).filter { left.has($0) && isForeign($0) }
    for name in foreign { left.remove(name) }
    if let other = left.names.min(by: precedes) { throw Self.homeless(other, path) }
    return (tensors, foreign)
  }

  /// Refuses biases of some experts only.
  private func requireAllExperts(_ stack: GGUFExportTensor, _ path: String) throws(FormatError) {
    let counts = configuration.description.layers.compactMap { $0.experts?.experts.count }
    guard let count = counts.first, stack.parts.count != count else { return }
    throw FormatError(
      path, at: "tensor '\(stack.parts[0].name)'", .notExact("only some experts have such a tensor"))
  }

  /// The bias of a linear or norm.
  private func exported(
    _ bias: TensorInfo, of tensor: ModelTensor, _ path: String
  ) throws(FormatError) -> GGUFExportTensor {
    guard configuration.family.gguf.hasBiases(of: tensor.role) else {
      throw FormatError(
        path, at: "tensor '\(bias.name)'",
        .notExact("llama.cpp has no such bias in architecture '\(architecture)'"))
    }
    guard bias.shape == [tensor.shape[0]] else {
      throw FormatError(
        path, at: "tensor '\(bias.name)'", .shape(expected: [tensor.shape[0]], found: bias.shape))
    }
    return GGUFExportTensor(
      name: tensor.gguf + ".bias", shape: bias.shape, isStack: tensor.slot.ggufForm.stackIndex != nil,
      parts: [GGUFExportTensor.Part(module: tensor.module, storage: .dense(bias))],
      order: tensor.slot.ggufOrder, columnOrder: .plain, transform: .none, isLinear: false, needsF32: true)
  }

  /// Whether a tensor that is left belongs to another part of a model around the text model.
  private func isForeign(_ name: String) -> Bool {
    guard configuration.isNested else { return false }
    let own = [
      "\(layout.prefix)\(configuration.family.layers.module)", layout.embedding.module,
      layout.finalNorm.module, layout.head.module,
    ]
    return !own.contains { name.hasPrefix($0 + ".") }
  }

  private static func homeless(_ name: String, _ path: String) -> FormatError {
    let reason: String
    if ModuleTensor.part(of: name)?.isBesideWeight == true {
      reason = "GGUF holds no adapters and no trained changes beside the weights; 'rilq merge' folds them in"
    } else if name.hasSuffix(ModelLayout.frequencyEnding) {
      reason = "has other rotary frequencies than the configuration says; GGUF has no place for them"
    } else {
      reason = "has no place in the GGUF file of such a model"
    }
    return FormatError(path, at: "tensor '\(name)'", .notExact(reason))
  }
}

/// The tensors of a checkpoint that have no place yet.
private struct GGUFExportSources {
  private let contents: CheckpointContents
  private let path: String
  private var left: [String: TensorInfo]

  init(_ contents: CheckpointContents, path: String) {
    self.contents = contents
    self.path = path
    left = Dictionary(contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  var names: some Collection<String> { left.keys }

  func has(_ name: String) -> Bool { left[name] != nil }

  mutating func remove(_ name: String) { left[name] = nil }

  /// Takes a dense tensor if it is there and GGUF has its dtype.
  mutating func take(_ name: String) throws(FormatError) -> TensorInfo? {
    guard let tensor = left.removeValue(forKey: name) else { return nil }
    guard tensor.dtype.isWeight else {
      throw FormatError(
        path, at: "tensor '\(name)'", .notExact("GGUF has no tensors of \(tensor.dtype.rawValue)"))
    }
    return tensor
  }

  private mutating func require(_ name: String) throws(FormatError) -> TensorInfo {
    guard let tensor = left.removeValue(forKey: name) else {
      throw FormatError(path, .missing("tensor '\(name)'"))
    }
    return tensor
  }

  /// Takes the tensors of a weight.
  mutating func takeStorage(of tensor: ModelTensor) throws(FormatError) -> GGUFExportTensor.Storage {
    guard let layout = contents.quantization[tensor.module] else {
      guard let weight = try take(tensor.name) else {
        throw FormatError(path, .missing("tensor '\(tensor.name)'"))
      }
      return .dense(weight)
    }
    var tensors: [TensorInfo] = []
    for kind in layout.partKinds { tensors.append(try require(kind.name(of: tensor.module))) }
    return .packed(layout, tensors)
  }
}

extension GGUFExportTensor.Storage {
  /// The shape of the weights.
  fileprivate var shape: [Int] {
    switch self {
    case .dense(let tensor): tensor.shape
    case .packed(let layout, let tensors): layout.shape(ofStored: tensors[0])
    }
  }
}

extension ModelTensor {
  /// The weight in a GGUF file, or a part of its stack.
  fileprivate func exported(_ storage: GGUFExportTensor.Storage) -> GGUFExportTensor {
    let form = slot.ggufForm
    let needsF32 =
      switch role {
      case .norm, .vector, .router: true
      case .embedding, .linear, .head, .matrix: false
      }
    return GGUFExportTensor(
      name: gguf + form.ending, shape: slot.ggufShape, isStack: form.stackIndex != nil,
      parts: [GGUFExportTensor.Part(module: module, storage: storage)], order: slot.ggufOrder,
      columnOrder: slot.ggufColumnOrder, transform: ggufTransform, isLinear: isChosenLinear,
      needsF32: needsF32)
  }

  /// Whether it is a linear that may have few bits.
  private var isChosenLinear: Bool {
    guard case .linear = role else { return false }
    return slot.isQuantizable
  }
}

extension TensorSlot {
  /// The shape in a GGUF file, which has a convolution without the dimension of its single input.
  var ggufShape: [Int] { shape.count == 3 ? [shape[0], shape[2]] : shape }
}
