package import Checkpoints

/// A tensor as the model sees it: a dense tensor, or codes with their tables as one weight.
package struct LogicalTensor: Sendable, Equatable {
  /// The tensor in the file; for a packed weight, the tensor of its codes.
  package let stored: TensorInfo
  /// The module of the codes and their packing; nil for a dense tensor.
  package let packing: Packing?
  /// The dimensions of the values, slowest first.
  package var shape: [Int] { packing?.layout.shape(ofStored: stored) ?? stored.shape }
  /// The size in the file in bytes, including tables.
  package let byteCount: Int
  /// The type in the file, if it is not the dtype: `Q4_1`.
  package let storedType: String?

  /// The module and layout of a packed weight.
  package struct Packing: Sendable, Equatable {
    /// The name without `.weight`.
    package let module: String
    /// The layout of codes and tables.
    package let layout: QuantizedLayout
  }

  /// The name of the tensor in the file.
  package var name: String { stored.name }

  /// The storage of the values as a phrase: `BF16`, `2 bits, groups of 64`, or `BF16 from Q4_K`.
  package var storage: String {
    let phrase = packing.map(\.layout.description) ?? stored.dtype.rawValue
    return storedType.map { packing == nil ? "\(phrase) from \($0)" : "\(phrase), in \($0)" } ?? phrase
  }

  /// Creates a dense tensor.
  init(_ stored: TensorInfo, _ form: StoredForm? = nil) {
    self.stored = stored
    packing = nil
    byteCount = form?.byteCount ?? stored.byteCount
    storedType = form?.type
  }

  /// Creates a packed weight of a validated checkpoint.
  ///
  /// - Parameters:
  ///   - codes: The tensor of the codes.
  ///   - packing: The module and its layout.
  ///   - byteCount: The size of codes and tables in the file, in bytes.
  ///   - storedType: The type in the file, if it has another layout.
  init(codes: TensorInfo, _ packing: Packing, byteCount: Int, storedType: String?) {
    stored = codes
    self.packing = packing
    self.byteCount = byteCount
    self.storedType = storedType
  }
}

extension Checkpoint {
  /// Returns the tensors as the model sees them, in the order of the file.
  ///
  /// - Throws: `FormatError` when tensors contradict the quantization.
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
