import Checkpoints
import Kernels
import Models

/// An output head that shares its tensor with the embedding.
struct TiedHead {
  private let base: Checkpoint

  /// Detects a tied head; nil when the base has a separate head, or its configuration unties it.
  ///
  /// - Throws: `FormatError` when the configuration is malformed.
  init?(of base: Checkpoint) throws {
    let hasHead = base.contents.tensors.contains {
      ModuleTensor.weight.module(of: $0.name).map(PeftModule.isHead) ?? false
    }
    guard try !hasHead && base.configuration()["tie_word_embeddings"]?.bool != false else { return nil }
    self.base = base
  }

  /// Returns the parts of an adapter that are merged into the base.
  ///
  /// Parts for the head are left out if they are copies of those for the embedding and the adapter says so.
  ///
  /// - Throws: `PassError.notExact` when the embedding and the head would differ.
  func merged(_ adapter: PeftAdapter) throws -> (modules: [PeftModule], replacements: [PeftReplacement]) {
    let heads = (
      modules: adapter.modules.filter { PeftModule.isHead($0.name) },
      replacements: adapter.replacements.filter { PeftModule.isHead($0.module) }
    )
    let embeddings = (
      modules: adapter.modules.filter { $0.isEmbedding && PeftModule.isTokenEmbedding($0.name) },
      replacements: adapter.replacements.filter { PeftModule.isTokenEmbedding($0.module) }
    )
    let changed =
      (heads.modules + embeddings.modules).map(\.name)
      + (heads.replacements + embeddings.replacements).map(\.module)
    guard let name = changed.first else { return (adapter.modules, adapter.replacements) }
    guard adapter.ensuresWeightTying else {
      throw refusal(name, "an adapter changes them separately, and merging would change both")
    }
    guard try haveSameModules(heads.modules, embeddings.modules, adapter),
      try haveSameTensors(heads.replacements, embeddings.replacements, adapter)
    else {
      throw refusal(name, "the adapter's copies for the two differ, and one tensor cannot take in both")
    }
    return (
      adapter.modules.filter { !PeftModule.isHead($0.name) },
      adapter.replacements.filter { !PeftModule.isHead($0.module) }
    )
  }

  private func refusal(_ module: String, _ reason: String) -> PassError {
    PassError.notExact(
      "module '\(module)': the embedding and the output head of '\(base.path)' are one tensor "
        + "(tie_word_embeddings); \(reason)")
  }

  /// Whether the head's adapter is the transpose of the embedding's; a single adapter is accepted too.
  private func haveSameModules(
    _ heads: [PeftModule], _ embeddings: [PeftModule], _ adapter: PeftAdapter
  ) throws -> Bool {
    guard let head = heads.first else { return true }
    guard let embedding = embeddings.first, heads.count == 1, embeddings.count == 1,
      head.scaling == embedding.scaling, head.magnitude == nil, embedding.magnitude == nil, head.bias == nil
    else { return false }
    return try isTransposed(head.loraA, embedding.loraB, adapter)
      && isTransposed(head.loraB, embedding.loraA, adapter)
  }

  private func isTransposed(_ a: TensorInfo, _ b: TensorInfo, _ adapter: PeftAdapter) throws -> Bool {
    guard a.shape == b.shape.reversed(), a.shape.count == 2 else { return false }
    let (first, second) = (try adapter.values(of: a), try adapter.values(of: b))
    let (rows, columns) = (a.shape[0], a.shape[1])
    return (0..<rows).allSatisfy { row in
      (0..<columns).allSatisfy { first[row * columns + $0] == second[$0 * rows + row] }
    }
  }

  /// Whether the head's tensor equals the embedding's; a single tensor is accepted too.
  private func haveSameTensors(
    _ heads: [PeftReplacement], _ embeddings: [PeftReplacement], _ adapter: PeftAdapter
  ) throws -> Bool {
    guard let head = heads.first else { return true }
    guard let embedding = embeddings.first, heads.count == 1, embeddings.count == 1,
      head.tensor.shape == embedding.tensor.shape
    else { return false }
    return try adapter.values(of: head.tensor) == adapter.values(of: embedding.tensor)
  }
}

extension PeftReplacement {
  /// The tensor's module.
  var module: String { ModuleTensor.weight.module(of: name) ?? name }
}

extension PeftAdapter {
  /// Whether the adapter changes an embedding or an output head.
  var changesTies: Bool {
    let replaced = replacements.map(\.module)
    return modules.contains { PeftModule.isTokenEmbedding($0.name) || PeftModule.isHead($0.name) }
      || replaced.contains { PeftModule.isHead($0) || PeftModule.isTokenEmbedding($0) }
  }

  /// Returns the values of one of the adapter's tensors.
  func values(of tensor: TensorInfo) throws -> [Float] {
    guard let format = FloatFormat(tensor.dtype) else { preconditionFailure("refused when it was opened") }
    return try bytes(of: tensor).withSpan { widened($0, from: format) }
  }
}
