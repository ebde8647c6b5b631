/// The tensors of a module, told apart by the endings of their names.
package enum ModuleTensor: String, CaseIterable {
  case weight = ".weight"
  case bias = ".bias"
  case scales = ".scales"
  case biases = ".biases"
  case zeroPoints = ".zero_points"
  case blockSteps = ".block_steps"
  case blockFactors = ".block_factors"
  case scalesDelta = ".scales_delta"
  case biasesDelta = ".biases_delta"
  case blockFactorsDelta = ".block_factors_delta"
  case loraA = ".lora_A.weight"
  case loraB = ".lora_B.weight"

  /// The name of this tensor of a module.
  package func name(of module: String) -> String { module + rawValue }

  /// The module that a tensor name belongs to, or nil when it is not this kind of tensor.
  package func module(of name: String) -> String? {
    guard ends(name) else { return nil }
    return String(name[..<name.utf8.index(name.endIndex, offsetBy: -rawValue.utf8.count)])
  }

  /// Whether a name consists of a module and this ending.
  ///
  /// Compares bytes, the last first; `hasSuffix` compares characters and is slow over many names.
  private func ends(_ name: String) -> Bool {
    let suffix = rawValue
    let expected = suffix.utf8.span
    let bytes = name.utf8.span
    let start = bytes.count - expected.count
    guard start > 0 else { return false }
    var i = expected.count
    while i > 0 {
      i -= 1
      guard bytes[start + i] == expected[i] else { return false }
    }
    return true
  }
}

extension ModuleTensor {
  /// The module and the kind of tensor that a name stands for, or nil when it is none of these.
  package static func split(_ name: String) -> (module: String, part: ModuleTensor)? {
    guard let part = part(of: name), let module = part.module(of: name) else { return nil }
    return (module, part)
  }

  /// The kind of tensor that a name stands for, or nil when it is none of these.
  package static func part(of name: String) -> ModuleTensor? {
    longestFirst.first { $0.ends(name) }
  }

  /// Every kind; an ending that contains another one comes before it.
  private static let longestFirst: [ModuleTensor] = [
    .loraA, .loraB, .weight, .bias, .scales, .biases, .zeroPoints, .blockSteps, .blockFactors, .scalesDelta,
    .biasesDelta, .blockFactorsDelta,
  ]

  /// Whether the tensor stands beside a weight: an adapter or a trained change, not a parameter of the model.
  package var isBesideWeight: Bool {
    switch self {
    case .loraA, .loraB, .scalesDelta, .biasesDelta, .blockFactorsDelta: true
    case .weight, .bias, .scales, .biases, .zeroPoints, .blockSteps, .blockFactors: false
    }
  }
}

extension ModuleTensor {
  /// The table that a trained change belongs to; nil for another kind.
  package var changedTable: ModuleTensor? {
    switch self {
    case .scalesDelta: .scales
    case .biasesDelta: .biases
    case .blockFactorsDelta: .blockFactors
    default: nil
    }
  }

  /// Whether the tensor is a table of a quantized weight or a trained change of one.
  package var isTable: Bool {
    switch self {
    case .scales, .biases, .zeroPoints, .blockSteps, .blockFactors: true
    default: changedTable != nil
    }
  }
}

extension ModuleTensor {
  /// Whether a module is an embedding by its name: `model.embed_tokens`.
  static func isEmbedding(_ module: String) -> Bool {
    module.split(separator: ".").last?.hasPrefix("embed") == true
  }
}
