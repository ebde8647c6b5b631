extension CheckpointContents {
  /// The bytes of all tensors, before compression.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The parameters of the model: elements of tensors, for packed ones the weights behind the codes; tables, adapters
  /// and trained changes are none.
  public var parameterCount: Int {
    tensors.reduce(0) { total, tensor in
      if quantization.isEmpty {
        return total + (ModuleTensor.part(of: tensor.name)?.isBesideWeight == true ? 0 : tensor.elementCount)
      }
      guard let (module, part) = ModuleTensor.split(tensor.name) else { return total + tensor.elementCount }
      if let weights = weightCount(tensor, module, part) { return total + weights }
      let isTable = quantization[module] != nil && part != .bias
      return total + (part.isBesideWeight || isTable ? 0 : tensor.elementCount)
    }
  }

  /// The bits of a quantized weight, its tables, adapters and trained changes included; where nothing is quantized,
  /// the bits of any parameter.
  public var bitsPerWeight: Double {
    var weights = 0
    var bytes = 0
    for tensor in quantization.isEmpty ? [] : tensors {
      guard let (module, part) = ModuleTensor.split(tensor.name), quantization[module] != nil else {
        continue
      }
      if part != .bias { bytes += tensor.byteCount }
      weights += weightCount(tensor, module, part) ?? 0
    }
    if weights == 0 { (bytes, weights) = (byteCount, parameterCount) }
    return Double(bytes) * 8 / Double(max(weights, 1))
  }

  /// The bits of all tensors together for each parameter.
  public var bitsPerParameter: Double { Double(byteCount) * 8 / Double(max(parameterCount, 1)) }

  /// The weights behind packed codes, or nil for every other tensor.
  private func weightCount(_ tensor: TensorInfo, _ module: String, _ part: ModuleTensor) -> Int? {
    guard part == .weight, let parameters = quantization[module] else { return nil }
    return tensor.byteCount * 8 / parameters.bits
  }
}
