import Checkpoints
import Models

extension PassContext {
  /// The original model that a pass compares with: the one that is named, otherwise the recipe's input.
  ///
  /// - Throws: `PassError.usage` when it is quantized itself, `FormatError` when it cannot be opened.
  func teacher(_ named: PathOption?) throws -> Checkpoint {
    let teacher = try named.map { try Checkpoint.open(path: $0.resolved, access: access) } ?? original
    guard teacher.contents.quantization.isEmpty else {
      throw PassError.usage("\(teacher.path): is quantized itself; name the original model with 'teacher'")
    }
    return teacher
  }
}

extension Transformer {
  /// Refuses a model that is not the original of this one: with other layers, linears or tokens.
  ///
  /// - Throws: `ModelError.incomparable`.
  func requireSameShapes(as other: Transformer) throws {
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
  }
}
