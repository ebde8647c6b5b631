import Checkpoints
import Kernels

extension Transformer {
  /// Finds the first tensor or layer that is not finite, after a result was not finite.
  ///
  /// - Parameter tokens: The tokens whose result was not finite.
  /// - Returns: An error that names the first used tensor that is not finite, otherwise the first layer whose
  ///   output is not finite; nil when everything up to the logits is finite.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func findNotFinite(_ tokens: [Int32]) throws -> ModelError? {
    var stream = try stream(of: tokens)
    if let error = notFinite(stream.hidden, layout.embedding.module, [(layout.embedding.module, embedding)]) {
      return error
    }
    let rotary = rotaryTables(positions: tokens.count)
    for (index, layer) in layers.enumerated() {
      run(layer, &stream, rotary: rotary)
      guard !stream.hidden.isFinite else { continue }
      if let error = notFinite(layout.layer(index), of: layer) { return error }
      return .notFinite(place("the output of layer \(index)"))
    }
    let final = finalNorm(stream.hidden)
    if let index = finalNorm.weights.firstIndex(where: { !$0.isFinite }) {
      return .notFinite(place("tensor '\(layout.finalNorm.name)': value \(index)"))
    }
    let weights = head.linears.map { ($0.name, $0.weight) }
    return notFinite(logits(final.rows(0..<1)), "the logits", weights)
      ?? notFinite(logits(final.rows(final.rowCount - 1..<final.rowCount)), "the logits", weights)
  }

  /// Returns an error for the first of a layer's tensors that is not finite.
  private func notFinite(_ tensors: [ModelTensor], of layer: DecoderLayer) -> ModelError? {
    for tensor in tensors {
      let values: [Float]
      switch tensor.role {
      case .norm(let norm): values = layer[norm: norm].weights
      case .vector: values = layer[vector: tensor.slot]
      case .embedding, .linear, .matrix, .head, .router: continue
      }
      guard let index = values.firstIndex(where: { !$0.isFinite }) else { continue }
      return .notFinite(place("tensor '\(tensor.name)': value \(index)"))
    }
    for linear in layer.routers.flatMap(\.linear.linears) + layer.linears {
      if let error = notFinite(linear) { return error }
    }
    return nil
  }

  private func notFinite(_ linear: Linear) -> ModelError? {
    if let error = notFinite(linear.name, linear.weight) { return error }
    guard let adapter = linear.adapter else { return nil }
    for (part, matrix) in [(ModuleTensor.loraA, adapter.loraA), (.loraB, adapter.loraB)] {
      guard let index = matrix.values.firstIndex(where: { !$0.isFinite }) else { continue }
      return .notFinite(place("tensor '\(part.name(of: linear.name))': value \(index)"))
    }
    return nil
  }

  private func notFinite(_ module: String, _ weight: Weight) -> ModelError? {
    for row in 0..<weight.rowCount {
      guard let column = weight.floats(rows: row..<row + 1).firstIndex(where: { !$0.isFinite }) else {
        continue
      }
      let name = ModuleTensor.weight.name(of: module)
      return .notFinite(place("tensor '\(name)': value \(column) of row \(row)"))
    }
    return nil
  }

  private func notFinite(_ values: Matrix, _ what: String, _ weights: [(String, Weight)]) -> ModelError? {
    guard !values.isFinite else { return nil }
    return weights.lazy.compactMap { notFinite($0, $1) }.first ?? .notFinite(place(what))
  }

  private func place(_ what: String) -> String { "\(path): \(what)" }
}

extension Transformer {
  /// Throws if a result is not finite.
  ///
  /// - Parameters:
  ///   - value: The result.
  ///   - tokens: The tokens that it was computed from.
  ///   - what: The name in the error if the model itself is finite.
  /// - Throws: `ModelError.notFinite` with the first tensor or layer that is not finite.
  package func requireFinite(_ value: Double, of tokens: [Int32], _ what: String) throws {
    guard !value.isFinite else { return }
    throw try findNotFinite(tokens) ?? .notFinite(place(what))
  }
}

extension Matrix {
  /// Whether every element is finite.
  fileprivate var isFinite: Bool { values.allSatisfy(\.isFinite) }
}
