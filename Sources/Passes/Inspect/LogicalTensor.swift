package import Checkpoints

/// A tensor as the model sees it: a dense one, or codes with their tables as one weight.
package struct LogicalTensor: Sendable, Equatable {
  /// The tensor of the file; of a packed weight that of the codes.
  package let stored: TensorInfo
  /// The module whose codes these are, and how they are packed; nil for a dense tensor.
  package let packing: Packing?
  /// The dimensions of the values, slowest first.
  package let shape: [Int]
  /// The bytes that the file stores, those of the tables included.
  package let byteCount: Int
  /// The type that the file stores the values in, where that is not the dtype: `Q4_1`.
  package let storedType: String?

  /// What is known of a packed weight.
  package struct Packing: Sendable, Equatable {
    /// The name without `.weight`.
    package let module: String
    /// How codes and tables are laid out.
    package let layout: QuantizedLayout
  }

  /// The name of the tensor in the file.
  package var name: String { stored.name }

  /// How values are stored, as a phrase: `BF16`, `2 bits, groups of 64`, or `BF16 from Q4_K`.
  package var storage: String {
    let phrase = packing.map(\.layout.description) ?? stored.dtype.rawValue
    return storedType.map { packing == nil ? "\(phrase) from \($0)" : "\(phrase), in \($0)" } ?? phrase
  }

  /// A tensor that is no packed weight.
  init(_ stored: TensorInfo, _ form: StoredForm? = nil) {
    self.stored = stored
    packing = nil
    shape = stored.shape
    byteCount = form?.byteCount ?? stored.byteCount
    storedType = form?.type
  }

  /// A packed weight of a checkpoint that is validated.
  ///
  /// - Parameters:
  ///   - codes: The tensor of the codes.
  ///   - packing: The module and its layout.
  ///   - byteCount: The bytes of codes and tables in the file.
  ///   - storedType: The type that the file stores them in, where that is another layout.
  init(codes: TensorInfo, _ packing: Packing, byteCount: Int, storedType: String?) {
    stored = codes
    self.packing = packing
    shape = packing.layout.shape(ofStored: codes)
    self.byteCount = byteCount
    self.storedType = storedType
  }
}

extension Checkpoint {
  /// The tensors as the model sees them, in the order of the file.
  ///
  /// - Throws: `FormatError` when tensors are not what the quantization says.
  package func logicalTensors() throws -> [LogicalTensor] {
    guard !contents.quantization.isEmpty else {
      return contents.tensors.map { LogicalTensor($0, storedForm(of: $0)) }
    }
    try contents.validateQuantization(path: path)
    var byteCounts: [String: Int] = [:]
    let parts = contents.tensors.map { tensor -> (module: String, layout: QuantizedLayout, isCodes: Bool)? in
      guard let (module, part) = ModuleTensor.split(tensor.name),
        let layout = contents.quantization[module], layout.partKinds.contains(part)
      else { return nil }
      byteCounts[module, default: 0] += storedForm(of: tensor)?.byteCount ?? tensor.byteCount
      return (module, layout, part == layout.partKinds[0])
    }
    return zip(contents.tensors, parts).compactMap { tensor, part in
      guard let part else { return LogicalTensor(tensor, storedForm(of: tensor)) }
      guard part.isCodes else { return nil }
      return LogicalTensor(
        codes: tensor, LogicalTensor.Packing(module: part.module, layout: part.layout),
        byteCount: byteCounts[part.module] ?? 0, storedType: storedForm(of: tensor)?.type)
    }
  }
}
