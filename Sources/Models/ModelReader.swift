package import Checkpoints
package import Kernels

/// Reads the tensors of a model and checks their shapes against the configuration.
package struct ModelReader: Sendable {
  private let checkpoint: Checkpoint
  private let keepsSteps: Bool

  /// Joins a checkpoint with how it is read.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - keepsSteps: Whether tables are kept as bytes where that is possible; such a weight cannot be trained.
  package init(checkpoint: Checkpoint, keepsSteps: Bool = false) {
    self.checkpoint = checkpoint
    self.keepsSteps = keepsSteps
  }

  /// Reads a vector as floats.
  package func vector(_ name: String, count: Int) throws -> [Float] {
    try floats(name, shape: [count])
  }

  /// Reads a vector of the model as floats.
  package func vector(_ tensor: ModelTensor) throws -> [Float] {
    try floats(tensor.name, shape: tensor.shape)
  }

  /// Reads a norm of the model.
  package func norm(_ tensor: ModelTensor, _ description: NormDescription) throws -> Norm {
    let weights = try vector(tensor)
    let offset = description.offset
    return Norm(
      description, weights: offset == 0 ? weights : weights.map { $0 + offset },
      bias: try bias(of: tensor) ?? [])
  }

  /// Reads a matrix of the model, with its bias if the checkpoint has one.
  package func linear(_ tensor: ModelTensor) throws -> Linear {
    var linear = try linear(tensor.module, rows: tensor.shape[0], columns: tensor.shape[1])
    linear.bias = try bias(of: tensor)
    return linear
  }

  /// Reads the bias of a tensor; nil when the checkpoint has none.
  private func bias(of tensor: ModelTensor) throws -> [Float]? {
    guard tensor.canHaveBias, checkpoint.tensor(named: tensor.biasName) != nil else { return nil }
    return try floats(tensor.biasName, shape: [tensor.shape[0]])
  }

  /// Returns the format of a tensor of floats, from headers alone.
  ///
  /// - Throws: `FormatError` when it is missing, has another shape, or holds no weights.
  package func format(of name: String, shape: [Int]) throws -> FloatFormat {
    try format(of: try requireTensor(name, shape: shape))
  }

  /// Reads a linear: its weight, with trained changes of its tables applied, and its adapter.
  package func linear(_ module: String, rows: Int, columns: Int) throws -> Linear {
    let weight = try weight(module, rows: rows, columns: columns)
    return Linear(name: module, weight: weight, adapter: try adapter(of: module, weight))
  }

  /// Reads the weight of a module, dense or packed, with trained changes of its tables applied.
  package func weight(_ module: String, rows: Int, columns: Int) throws -> Weight {
    guard let layout = checkpoint.contents.quantization[module] else {
      return try denseWeight(module, rows: rows, columns: columns)
    }
    return try packedWeight(module, rows: rows, columns: columns, layout)
  }

  private func denseWeight(_ module: String, rows: Int, columns: Int) throws -> Weight {
    let name = module + ".weight"
    let tensor = try requireTensor(name, shape: [rows, columns])
    let bytes = try checkpoint.bytes(of: name)
    return Weight(rows: rows, columns: columns, values: .dense(bytes, try format(of: tensor)))
  }

  private func packedWeight(
    _ module: String, rows: Int, columns: Int, _ layout: QuantizedLayout
  ) throws -> Weight {
    guard layout.fits(columns: columns) else {
      throw FormatError(
        checkpoint.path, at: "module '\(module)'",
        .malformed("groups of \(layout.blockColumnCount) do not divide \(columns) columns"))
    }
    guard layout.isComputed else {
      throw FormatError(
        checkpoint.path, at: "module '\(module)'",
        .unsupported("groups of \(layout.groupSize) columns are not supported; multiples of 8 are"))
    }
    for part in layout.parts(rows: rows, columns: columns) {
      _ = try requireTensor(part.kind.name(of: module), shape: part.shape)
    }
    guard let stored = try checkpoint.quantizedWeight(of: module) else {
      preconditionFailure("module '\(module)' has a layout")
    }
    var packed = PackedWeight(stored)
    if var blocks = packed.blocks {
      try add(.blockFactorsDelta, of: module, to: &blocks.factors)
      packed.replaceTables(by: blocks)
    } else {
      var (scales, biases) = (packed.scales, packed.biases)
      try add(.scalesDelta, of: module, to: &scales)
      if layout.hasOwnBiases { try add(.biasesDelta, of: module, to: &biases) }
      packed.replaceTables(scales: scales, biases: biases)
    }
    if keepsSteps { packed.keepSteps() }
    return Weight(rows: rows, columns: columns, values: .packed(packed))
  }

  /// Adds the trained change of a table, if there is one.
  private func add(_ kind: ModuleTensor, of module: String, to table: inout [Float]) throws {
    guard let change = checkpoint.tensor(named: kind.name(of: module)) else { return }
    guard change.elementCount == table.count else {
      throw FormatError(
        checkpoint.path, at: "tensor '\(change.name)'",
        .malformed("has not the table's \(table.count) values"))
    }
    for (i, delta) in try checkpoint.floats(of: change.name).enumerated() { table[i] += delta }
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

  /// Reads a tensor as floats.
  package func floats(_ name: String, shape: [Int]) throws -> [Float] {
    let format = try format(of: name, shape: shape)
    return try checkpoint.bytes(of: name).withSpan { bytes in widened(bytes, from: format) }
  }
}
