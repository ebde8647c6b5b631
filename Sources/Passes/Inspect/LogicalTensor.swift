package import Checkpoints

/// A tensor as the model sees it: a dense one, or codes with their tables as one weight.
package struct LogicalTensor: Sendable, Equatable {
  /// The tensor of the file; of a packed weight that of the codes.
  package let stored: TensorInfo
  /// The module whose codes these are, and how they are packed; nil for a dense tensor.
  package let packing: Packing?
  /// The dimensions of the values, slowest first.
  package let shape: [Int]
  /// The bytes, those of the tables included.
  package let byteCount: Int

  /// What is known of a packed weight.
  package struct Packing: Sendable, Equatable {
    /// The name without `.weight`.
    package let module: String
    /// Width of the codes and size of the groups.
    package let parameters: QuantizationParameters
  }

  /// The name of the tensor in the file.
  package var name: String { stored.name }

  /// How values are stored, as a phrase: `BF16`, or `2 bits, groups of 64`.
  package var storage: String {
    packing.map { "\($0.parameters.bits) bits, groups of \($0.parameters.groupSize)" }
      ?? stored.dtype.rawValue
  }

  /// A tensor that is no packed weight.
  init(_ stored: TensorInfo) {
    self.stored = stored
    packing = nil
    shape = stored.shape
    byteCount = stored.byteCount
  }

  /// A packed weight of a checkpoint that is validated: codes are `[out, in * bits / 32]`.
  init(codes: TensorInfo, _ packing: Packing, tableByteCount: Int) {
    stored = codes
    self.packing = packing
    shape = [codes.shape[0], codes.shape[1] * 32 / packing.parameters.bits]
    byteCount = codes.byteCount + tableByteCount
  }
}

extension Checkpoint {
  /// The tensors as the model sees them, in the order of the file.
  ///
  /// - Throws: `FormatError` when tensors are not what the quantization says.
  package func logicalTensors() throws -> [LogicalTensor] {
    guard !contents.quantization.isEmpty else { return contents.tensors.map { LogicalTensor($0) } }
    try contents.validateQuantization(path: path)
    var tableBytes: [String: Int] = [:]
    let parts = contents.tensors.map { tensor -> (module: String, part: ModuleTensor)? in
      guard let split = ModuleTensor.split(tensor.name), contents.quantization[split.module] != nil else {
        return nil
      }
      if split.part == .scales || split.part == .biases {
        tableBytes[split.module, default: 0] += tensor.byteCount
      }
      return split
    }
    return zip(contents.tensors, parts).compactMap { tensor, split in
      guard let split, let parameters = contents.quantization[split.module] else {
        return LogicalTensor(tensor)
      }
      switch split.part {
      case .weight:
        return LogicalTensor(
          codes: tensor, LogicalTensor.Packing(module: split.module, parameters: parameters),
          tableByteCount: tableBytes[split.module] ?? 0)
      case .scales, .biases: return nil
      case .bias, .scalesDelta, .biasesDelta, .loraA, .loraB: return LogicalTensor(tensor)
      }
    }
  }
}
