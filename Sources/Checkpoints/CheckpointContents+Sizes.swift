extension CheckpointContents {
  /// The bytes of all tensors, before compression.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The weights that are stands for: elements of tensors, for packed ones the weights behind the codes; tables,
  /// adapters and trained changes are no parameters of the model.
  public var parameterCount: Int {
    tensors.reduce(0) { total, tensor in
      guard let module = ModuleTensor(tensor.name) else { return total + tensor.elementCount }
      guard let parameters = quantization[module.module] else {
        return total + (module.part.isBeside ? 0 : tensor.elementCount)
      }
      return total + (module.part == .weight ? tensor.elementCount * 32 / parameters.bits : 0)
    }
  }

  /// The bits of a quantized weight, its tables, adapters and trained changes included; where nothing is quantized,
  /// the bits of any parameter.
  public var bitsPerWeight: Double {
    var weights = 0
    var bytes = 0
    for tensor in tensors {
      guard let module = ModuleTensor(tensor.name), let parameters = quantization[module.module] else { continue }
      bytes += tensor.byteCount
      if module.part == .weight { weights += tensor.elementCount * 32 / parameters.bits }
    }
    if weights == 0 { (bytes, weights) = (byteCount, parameterCount) }
    return Double(bytes) * 8 / Double(max(weights, 1))
  }
}
