/// The tensors of a module, told apart by how their names end.
package enum ModuleTensor: String, CaseIterable {
  case weight = ".weight"
  case bias = ".bias"
  case scales = ".scales"
  case biases = ".biases"
  case scalesDelta = ".scales_delta"
  case biasesDelta = ".biases_delta"
  case loraA = ".lora_A.weight"
  case loraB = ".lora_B.weight"

  /// The name of this tensor of a module.
  package func name(of module: String) -> String { module + rawValue }

  /// The module that a tensor name belongs to, or nil when it is not this kind of tensor.
  package func module(of name: String) -> String? {
    // Compared as bytes: `hasSuffix` compares characters and is slow over many names.
    guard name.utf8.count > rawValue.utf8.count,
      name.utf8.suffix(rawValue.utf8.count).elementsEqual(rawValue.utf8)
    else { return nil }
    return String(name.utf8.dropLast(rawValue.utf8.count))
  }
}

extension ModuleTensor {
  /// The module and the kind of tensor that a name stands for, or nil when it is none of these.
  package static func split(_ name: String) -> (module: String, part: ModuleTensor)? {
    for part in [.loraA, .loraB] + allCases {
      if let module = part.module(of: name) { return (module, part) }
    }
    return nil
  }

  /// Whether the tensor stands beside a weight: an adapter or a trained change, no parameter of the model.
  package var isBesideWeight: Bool {
    switch self {
    case .loraA, .loraB, .scalesDelta, .biasesDelta: true
    case .weight, .bias, .scales, .biases: false
    }
  }
}
