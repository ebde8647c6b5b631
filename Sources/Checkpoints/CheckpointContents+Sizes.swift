/// The sizes of a checkpoint, found in one walk over its tensors.
public struct CheckpointSizes: Sendable, Equatable {
  /// The bytes of all tensors as the file stores them, before compression.
  public private(set) var byteCount = 0
  /// The number of parameters of the model: elements of dense tensors and weights of packed ones.
  ///
  /// Tables, adapters and trained changes do not count.
  public private(set) var parameterCount = 0
  private var quantizedWeightCount = 0
  private var quantizedByteCount = 0

  /// The bits per quantized weight, including tables, adapters and trained changes.
  ///
  /// If nothing is quantized, the bits per parameter.
  public var bitsPerWeight: Double {
    guard quantizedWeightCount > 0 else { return bitsPerParameter }
    return Double(quantizedByteCount) * 8 / Double(quantizedWeightCount)
  }

  /// The bits of all tensors together, per parameter.
  public var bitsPerParameter: Double { Double(byteCount) * 8 / Double(max(parameterCount, 1)) }

  /// Adds up the tensors of a checkpoint.
  ///
  /// - Parameters:
  ///   - contents: The checkpoint.
  ///   - storedByteCount: The bytes that a tensor really takes, which may differ from its size.
  fileprivate init(_ contents: CheckpointContents, _ storedByteCount: (TensorInfo) -> Int = { $0.byteCount })
  {
    // Elements of a span are not copied.
    let tensors = contents.tensors.span
    for i in tensors.indices {
      let stored = storedByteCount(tensors[i])
      byteCount += stored
      if contents.quantization.isEmpty {
        let isBesideWeight = ModuleTensor.part(of: tensors[i].name)?.isBesideWeight == true
        parameterCount += isBesideWeight ? 0 : tensors[i].elementCount
      } else if let (module, part) = ModuleTensor.split(tensors[i].name) {
        add(tensors[i], stored, part, contents.quantization[module])
      } else {
        parameterCount += tensors[i].elementCount
      }
    }
  }

  /// Adds a tensor of a module.
  private mutating func add(
    _ tensor: TensorInfo, _ stored: Int, _ part: ModuleTensor, _ layout: QuantizedLayout?
  ) {
    guard let layout, part != .bias else {
      parameterCount += part.isBesideWeight ? 0 : tensor.elementCount
      return
    }
    quantizedByteCount += stored
    guard part == .weight else { return }
    let weightCount = layout.weightCount(ofStored: tensor)
    quantizedWeightCount += weightCount
    parameterCount += weightCount
  }
}

extension CheckpointContents {
  /// All sizes at once; each of the properties below walks over the tensors once more.
  public var sizes: CheckpointSizes { CheckpointSizes(self) }

  /// The bytes of all tensors, before compression.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The number of parameters of the model.
  public var parameterCount: Int { sizes.parameterCount }

  /// The bits per quantized weight, or per parameter if nothing is quantized.
  public var bitsPerWeight: Double { sizes.bitsPerWeight }
}

extension Checkpoint {
  /// All sizes of the tensors as the file stores them; a GGUF file stores blocks.
  public var storedSizes: CheckpointSizes {
    CheckpointSizes(contents) { storedForm(of: $0)?.byteCount ?? $0.byteCount }
  }
}
