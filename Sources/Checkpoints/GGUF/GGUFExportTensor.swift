import Kernels

/// A tensor of a GGUF file, and the tensors of the checkpoint that it is made from.
struct GGUFExportTensor: Sendable, Equatable {
  /// How the checkpoint holds it.
  enum Storage: Sendable, Equatable {
    case dense(TensorInfo)
    case packed(QuantizedLayout, codes: TensorInfo, scales: TensorInfo, biases: TensorInfo)
  }

  /// The name in the GGUF file.
  let name: String
  /// The module in the checkpoint.
  let module: String
  /// `[columns]` of a norm, `[rows, columns]` of a matrix.
  let shape: [Int]
  /// The order of its rows; of a vector, that of its elements.
  let order: GGUFRowOrder
  /// Added to each value: 1 where the checkpoint stores the difference of a norm's weights from 1.
  let offset: Float
  /// Whether it is a linear of a layer, whose type can be chosen.
  let isLinear: Bool
  /// How the checkpoint holds it.
  let storage: Storage

  /// The tensors of the checkpoint, in the order of writing.
  var sources: [TensorInfo] {
    switch storage {
    case .dense(let tensor): [tensor]
    case .packed(_, let codes, let scales, let biases): [codes, scales, biases]
    }
  }

  /// The number of weights.
  var elementCount: Int { shape.reduce(1, *) }

  /// The rows to be encoded, from the bytes of the sources.
  func rows(_ bytes: [TensorBytes]) -> GGUFEncodingRows {
    // The elements of a vector are rows if they change places.
    let columnCount = shape.count == 1 && order != .plain ? 1 : shape[shape.count - 1]
    let storage: GGUFEncodingRows.Storage =
      switch storage {
      case .dense(let tensor) where offset != 0:
        .dense(TensorBytes(narrowed(Self.floats(bytes[0], of: tensor).map { $0 + offset }, to: .f32)), .f32)
      case .dense(let tensor): .dense(bytes[0], Self.format(of: tensor))
      case .packed(let parameters, _, let scales, let biases):
        .packed(
          codes: bytes[0], parameters, scales: Self.floats(bytes[1], of: scales),
          biases: Self.floats(bytes[2], of: biases))
      }
    return GGUFEncodingRows(
      rowCount: elementCount / columnCount, columnCount: columnCount, storage: storage)
  }

  /// The values of a tensor of floats.
  static func floats(_ bytes: TensorBytes, of tensor: TensorInfo) -> [Float] {
    bytes.withSpan { widened($0, from: format(of: tensor)) }
  }

  /// Whether the values come back when the offset is subtracted from the sums, which are rounded to F32.
  func survivesOffset(_ bytes: TensorBytes) -> Bool {
    guard offset != 0, case .dense(let tensor) = storage else { return true }
    let values = Self.floats(bytes, of: tensor)
    let returned = narrowed(values.map { $0 + offset - offset }, to: Self.format(of: tensor))
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
    for name in redundantTensors { left.remove(name) }
    for tensor in modelTensors {
      let storage = try left.takeStorage(of: tensor)
      let shape = storage.shape
      guard shape == tensor.shape else {
        throw FormatError(path, at: "tensor '\(tensor.name)'", .shape(expected: tensor.shape, found: shape))
      }
      tensors.append(
        GGUFExportTensor(
          name: tensor.gguf + ".weight", module: tensor.module, shape: shape, order: tensor.slot.ggufOrder,
          offset: tensor.offset, isLinear: tensor.isLayerLinear, storage: storage))
      guard tensor.canHaveBias, let bias = try left.take(tensor.biasName) else { continue }
      tensors.append(try exported(bias, of: tensor, path))
    }
    let foreign = contents.tensors.map(\.name).filter { left.has($0) && isForeign($0) }
    for name in foreign { left.remove(name) }
    if let other = left.names.min(by: precedes) { throw Self.homeless(other, path) }
    return (tensors, foreign)
  }

  /// The bias of a linear or norm.
  private func exported(
    _ bias: TensorInfo, of tensor: ModelTensor, _ path: String
  ) throws(FormatError) -> GGUFExportTensor {
    if case .linear(let group) = tensor.role, !configuration.family.gguf.biases.contains(group) {
      throw FormatError(
        path, at: "tensor '\(bias.name)'",
        .notExact("llama.cpp has no such bias in architecture '\(architecture)'"))
    }
    guard bias.shape == [tensor.shape[0]] else {
      throw FormatError(
        path, at: "tensor '\(bias.name)'", .shape(expected: [tensor.shape[0]], found: bias.shape))
    }
    return GGUFExportTensor(
      name: tensor.gguf + ".bias", module: tensor.module, shape: bias.shape, order: tensor.slot.ggufOrder,
      offset: 0, isLinear: false, storage: .dense(bias))
  }

  /// Whether a tensor that is left belongs to another part of a model around the text model.
  private func isForeign(_ name: String) -> Bool {
    guard configuration.isNested else { return false }
    let own = [
      "\(layout.prefix)\(configuration.family.layers.module)", layout.embedding.module, layout.finalNorm.module,
      layout.head.module,
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
    guard let parameters = contents.quantization[tensor.module] else {
      guard let weight = try take(tensor.name) else {
        throw FormatError(path, .missing("tensor '\(tensor.name)'"))
      }
      return .dense(weight)
    }
    return .packed(
      parameters, codes: try require(tensor.name),
      scales: try require(ModuleTensor.scales.name(of: tensor.module)),
      biases: try require(ModuleTensor.biases.name(of: tensor.module)))
  }
}

extension GGUFExportTensor.Storage {
  /// The shape of the weights.
  fileprivate var shape: [Int] {
    switch self {
    case .dense(let tensor): tensor.shape
    case .packed(let parameters, let codes, _, _): parameters.shape(ofStored: codes)
    }
  }
}

extension ModelTensor {
  /// Added to the weights of the checkpoint.
  fileprivate var offset: Float {
    if case .norm(let norm) = role { norm.offset } else { 0 }
  }

  fileprivate var isLayerLinear: Bool {
    guard case .linear = role else { return false }
    return true
  }
}
