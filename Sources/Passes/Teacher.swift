import Checkpoints
import Models

extension PassContext {
  /// Opens the original model that a pass compares with: the named one, otherwise the recipe's input.
  ///
  /// The original can be packed, but at least one module must have more bits than in the student.
  ///
  /// - Parameters:
  ///   - named: The path, if one is given.
  ///   - student: The checkpoint to compare with the original.
  /// - Returns: The original model.
  /// - Throws: `PassError.usage` when the original is quantized like the student, `FormatError` when it
  ///   cannot be opened.
  func teacher(_ named: PathOption?, of student: Checkpoint) throws -> Checkpoint {
    let teacher = try named.map { try Checkpoint.open(path: $0.resolved, access: access) } ?? original
    let layouts = teacher.contents.quantization
    let isFiner = student.contents.quantization.contains { module, layout in
      layouts[module].map { $0.bits > layout.bits } ?? true
    }
    guard layouts.isEmpty || isFiner else {
      throw PassError.usage("\(teacher.path): is quantized itself; name the original model with 'teacher'")
    }
    return teacher
  }
}

extension Transformer {
  /// Far below the similarity of a weight with its 2-bit version, far above that of unrelated weights.
  private static let leastSimilarity = 0.25

  /// Rejects a model that is not this one's original: other layers, linears or tokens, or another basis.
  ///
  /// - Throws: `ModelError.incomparable`.
  func requireOriginal(_ other: Transformer) throws {
    guard layers.count == other.layers.count else {
      throw ModelError.incomparable("the models have \(layers.count) and \(other.layers.count) layers")
    }
    let vocabularies = (configuration.vocabularySize, other.configuration.vocabularySize)
    guard vocabularies.0 == vocabularies.1 else {
      throw ModelError.incomparable("the vocabularies have \(vocabularies.0) and \(vocabularies.1) tokens")
    }
    for (linear, original) in zip(layerLinears, other.layerLinears) {
      let shapes = [linear, original].map { [$0.weight.rowCount, $0.weight.columnCount] }
      guard shapes[0] == shapes[1] else {
        throw ModelError.incomparable(
          "module '\(linear.name)': the weights have the shapes \(shapes[0]) and \(shapes[1])")
      }
    }
    try requireSameBasis(as: other)
  }

  /// The weight of the first layer's attention values, if they have one of their own.
  private var firstValues: Weight? {
    guard let layer = layers.first else { return nil }
    for part in layer.description.parts {
      for case .linears(let group, let slots) in part.operations {
        guard let index = slots.firstIndex(where: { $0.axes[0].kind == .values }) else { continue }
        return layer[group].linears[index].weight
      }
    }
    return nil
  }

  /// Rejects a model whose stream or heads are rotated differently, because inner values could not be
  /// compared.
  private func requireSameBasis(as other: Transformer) throws {
    let weights = [
      ("embeddings", embedding, other.embedding),
      ("values in the first layer", firstValues, other.firstValues),
    ]
    for (name, weight, original) in weights {
      guard let weight, let original else { continue }
      let similarity = weight.similarity(to: original)
      guard similarity > Self.leastSimilarity else {
        throw ModelError.incomparable(
          "the \(name) of the two models have nothing in common; if one was rotated, the other must be with the same seed"
        )
      }
    }
  }
}

extension Weight {
  /// The cosine between the first rows of two weights of the same shape; 1 when one of them is 0.
  fileprivate func similarity(to other: Weight) -> Double {
    let rows = 0..<min(rowCount, 64)
    let (a, b) = (floats(rows: rows), other.floats(rows: rows))
    func product(_ x: [Float], _ y: [Float]) -> Double {
      zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let size = (product(a, a) * product(b, b)).squareRoot()
    return size > 0 ? product(a, b) / size : 1
  }
}
