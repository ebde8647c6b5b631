package import Checkpoints
package import Kernels

/// Reads the tensors of a model with the shapes that the configuration asks for.
package struct ModelReader: Sendable {
  private let checkpoint: Checkpoint

  package init(checkpoint: Checkpoint) { self.checkpoint = checkpoint }

  /// A vector as floats.
  package func vector(_ name: String, count: Int) throws -> [Float] {
    try floats(name, shape: [count])
  }

  /// The format of a tensor of floats, from headers alone.
  ///
  /// - Throws: `FormatError` when it is missing, has another shape, or holds no weights.
  package func format(of name: String, shape: [Int]) throws -> FloatFormat {
    try format(of: try requireTensor(name, shape: shape))
  }

  /// A linear: its weight, with trained changes of its tables applied, and its adapter.
  package func linear(_ module: String, rows: Int, columns: Int) throws -> Linear {
    let weight =
      if let parameters = checkpoint.contents.quantization[module] {
        try packedWeight(module, rows: rows, columns: columns, parameters)
      } else {
        try denseWeight(module, rows: rows, columns: columns)
      }
    return Linear(name: module, weight: weight, adapter: try adapter(of: module, weight))
  }

  private func denseWeight(_ module: String, rows: Int, columns: Int) throws -> Weight {
    let name = module + ".weight"
    let tensor = try requireTensor(name, shape: [rows, columns])
    let bytes = try checkpoint.bytes(of: name)
    return Weight(rows: rows, columns: columns, values: .dense(bytes, try format(of: tensor)))
  }

  private func packedWeight(
    _ module: String, rows: Int, columns: Int, _ parameters: QuantizationParameters
  ) throws -> Weight {
    guard columns % parameters.groupSize == 0, columns * parameters.bits % 32 == 0 else {
      throw FormatError(
        checkpoint.path, at: "module '\(module)'",
        .malformed("groups of \(parameters.groupSize) do not divide \(columns) columns"))
    }
    // What the kernels need; the formats allow any group size.
    guard parameters.groupSize % 8 == 0 else {
      throw FormatError(
        checkpoint.path, at: "module '\(module)'",
        .unsupported("groups of \(parameters.groupSize) columns are not supported; multiples of 8 are"))
    }
    _ = try requireTensor(module + ".weight", shape: [rows, columns * parameters.bits / 32])
    let shape = [rows, columns / parameters.groupSize]
    let packed = PackedWeight(
      codes: try checkpoint.bytes(of: module + ".weight"), bits: parameters.bits,
      groupSize: parameters.groupSize, scales: try table(module, "scales", shape: shape),
      biases: try table(module, "biases", shape: shape))
    return Weight(rows: rows, columns: columns, values: .packed(packed))
  }

  /// A table of a packed weight, plus its trained change if there is one.
  private func table(_ module: String, _ kind: String, shape: [Int]) throws -> [Float] {
    var values = try floats("\(module).\(kind)", shape: shape)
    let change = "\(module).\(kind)_delta"
    if checkpoint.tensor(named: change) != nil {
      for (i, delta) in try floats(change, shape: shape).enumerated() { values[i] += delta }
    }
    return values
  }

  private func adapter(of module: String, _ weight: Weight) throws -> LowRankAdapter? {
    guard let parameters = checkpoint.contents.adapter,
      let a = checkpoint.tensor(named: module + ".lora_A.weight")
    else { return nil }
    let groupSize = try adapterGroupSize(module, a, weight, parameters)
    let rank = a.shape[0]
    let loraA = try floats(a.name, shape: [rank, weight.columnCount / groupSize])
    let loraB = try floats(module + ".lora_B.weight", shape: [weight.rowCount, rank])
    return LowRankAdapter(
      kind: parameters.kind, scaling: Float(parameters.alpha / Double(rank)), groupSize: groupSize,
      loraA: Matrix(rows: rank, columns: weight.columnCount / groupSize, values: loraA),
      loraB: Matrix(rows: weight.rowCount, columns: rank, values: loraB))
  }

  private func adapterGroupSize(
    _ module: String, _ a: TensorInfo, _ weight: Weight, _ parameters: AdapterParameters
  ) throws -> Int {
    guard a.shape.count == 2, a.shape[0] > 0, a.shape[1] > 0, weight.columnCount % a.shape[1] == 0 else {
      throw FormatError(
        checkpoint.path, at: "tensor '\(a.name)'",
        .shape(expected: [parameters.rank, weight.columnCount], found: a.shape))
    }
    switch parameters.kind {
    case .dense: return 1
    case .pooled: return weight.columnCount / a.shape[1]
    }
  }

  private func requireTensor(_ name: String, shape: [Int]) throws -> TensorInfo {
    guard let tensor = checkpoint.tensor(named: name) else {
      throw FormatError(checkpoint.path, .missing("tensor '\(name)'"))
    }
    guard tensor.shape == shape else {
      throw FormatError(checkpoint.path, at: "tensor '\(name)'", .shape(expected: shape, found: tensor.shape))
    }
    return tensor
  }

  private func format(of tensor: TensorInfo) throws -> FloatFormat {
    guard let format = FloatFormat(tensor.dtype) else {
      throw FormatError(
        checkpoint.path, at: "tensor '\(tensor.name)'",
        .unsupported("dtype \(tensor.dtype.rawValue) is no weight; F32, F16 and BF16 are"))
    }
    return format
  }

  /// A tensor as floats.
  package func floats(_ name: String, shape: [Int]) throws -> [Float] {
    let format = try format(of: name, shape: shape)
    return try checkpoint.bytes(of: name).withSpan { bytes in widened(bytes, from: format) }
  }
}

extension FloatFormat {
  /// The arithmetic format of a dtype, if it is one.
  package init?(_ dtype: DType) {
    switch dtype {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    default: return nil
    }
  }

  /// The dtype of the format.
  package var dtype: DType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}
