/// How large a checkpoint is, found in one walk over its tensors.
public struct CheckpointSizes: Sendable, Equatable {
  /// The bytes of all tensors, before compression.
  public private(set) var byteCount = 0
  /// The parameters of the model: elements of tensors, for packed ones the weights behind the codes; tables, adapters
  /// and trained changes are none.
  public private(set) var parameterCount = 0
  private var quantizedWeightCount = 0
  private var quantizedByteCount = 0

  /// The bits of a quantized weight, its tables, adapters and trained changes included; where nothing is quantized,
  /// the bits of any parameter.
  public var bitsPerWeight: Double {
    guard quantizedWeightCount > 0 else { return bitsPerParameter }
    return Double(quantizedByteCount) * 8 / Double(quantizedWeightCount)
  }

  /// The bits of all tensors together for each parameter.
  public var bitsPerParameter: Double { Double(byteCount) * 8 / Double(max(parameterCount, 1)) }

  fileprivate init(_ contents: CheckpointContents) {
    for tensor in contents.tensors {
      byteCount += tensor.byteCount
      if contents.quantization.isEmpty {
        let isBesideWeight = ModuleTensor.part(of: tensor.name)?.isBesideWeight == true
        parameterCount += isBesideWeight ? 0 : tensor.elementCount
      } else if let (module, part) = ModuleTensor.split(tensor.name) {
        add(tensor, part, contents.quantization[module])
      } else {
        parameterCount += tensor.elementCount
      }
    }
  }

  /// Adds a tensor of a module.
  private mutating func add(_ tensor: TensorInfo, _ part: ModuleTensor, _ packing: QuantizationParameters?) {
    guard let packing, part != .bias else {
      parameterCount += part.isBesideWeight ? 0 : tensor.elementCount
      return
    }
    quantizedByteCount += tensor.byteCount
    guard part == .weight else { return }
    let weightCount = tensor.byteCount * 8 / packing.bits
    quantizedWeightCount += weightCount
    parameterCount += weightCount
  }
}

extension CheckpointContents {
  /// All sizes at once; each of the properties below walks over the tensors again.
  public var sizes: CheckpointSizes { CheckpointSizes(self) }

  /// The bytes of all tensors, before compression.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The parameters of the model.
  public var parameterCount: Int { sizes.parameterCount }

  /// The bits of a quantized weight, or of any parameter where nothing is quantized.
  public var bitsPerWeight: Double { sizes.bitsPerWeight }
}
