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
  /// The order of its rows.
  let order: GGUFRowOrder
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
    let columnCount = shape[shape.count - 1]
    let storage: GGUFEncodingRows.Storage =
      switch storage {
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
  /// - Returns: The tensors, layer by layer.
  /// - Throws: `FormatError` when a tensor is missing or has another shape; `.notExact` for a tensor that has
  ///   no place in the file.
  func tensors(of contents: CheckpointContents, path: String) throws(FormatError) -> [GGUFExportTensor] {
    var left = Dictionary(contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var tensors: [GGUFExportTensor] = []
    func take(_ part: ModuleTensor, _ module: String) throws(FormatError) -> TensorInfo {
      guard let tensor = left.removeValue(forKey: part.name(of: module)) else {
        throw FormatError(path, .missing("tensor '\(part.name(of: module))'"))
      }
      return tensor
    }
    for name in redundantTensors { left[name] = nil }
    for tensor in modelTensors {
      let weight = try take(.weight, tensor.module)
      let storage: GGUFExportTensor.Storage
      var shape = weight.shape
      if let parameters = contents.quantization[tensor.module] {
        storage = .packed(
          parameters, codes: weight, scales: try take(.scales, tensor.module),
          biases: try take(.biases, tensor.module))
        shape = parameters.shape(ofStored: weight)
      } else {
        storage = .dense(weight)
        guard weight.dtype.isWeight else {
          throw FormatError(
            path, at: "tensor '\(weight.name)'", .notExact("GGUF has no tensors of \(weight.dtype.rawValue)"))
        }
      }
      guard shape == tensor.shape else {
        throw FormatError(
          path, at: "tensor '\(weight.name)'", .shape(expected: tensor.shape, found: shape))
      }
      tensors.append(
        GGUFExportTensor(
          name: tensor.gguf + ".weight", module: tensor.module, shape: shape, order: order(of: tensor),
          isLinear: tensor.isLayerLinear, storage: storage))
    }
    if let other = left.keys.min(by: precedes) { throw Self.homeless(other, path) }
    return tensors
  }

  private func order(of tensor: ModelTensor) -> GGUFRowOrder {
    switch tensor.slot.rowOrder {
    case .plain: .plain
    case .rotaryPairs: .interleaved(rowsPerHead: tensor.slot.axes[0].headSize ?? configuration.headSize)
    case .headsApart: .plain
    }
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

extension ModelTensor {
  fileprivate var isLayerLinear: Bool {
    guard case .linear = role else { return false }
    return true
  }
}
