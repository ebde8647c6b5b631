package import Checkpoints
package import Kernels

extension Transformer {
  /// The weights of one decoder layer, addressed by their slots in its description.
  package struct DecoderLayer: Sendable {
    /// The operations of the layer.
    package let description: LayerDescription
    /// The norms, in the order of the computation.
    private let norms: [Norm]
    /// The vectors that are no norms, in the order of the computation.
    private let vectors: [(slot: TensorSlot, values: [Float])]
    /// The matrices that choose experts, in the order of the computation.
    let routers: [(slot: TensorSlot, linear: LinearGroup)]
    /// The groups of linears, in the order of the computation.
    package var groups: [LinearGroup]
    /// The kind of each of `groups`.
    package let groupKinds: [LinearGroupKind]

    /// Reads one layer.
    ///
    /// - Throws: The errors of `Transformer.init`.
    init(_ index: Int, _ layout: ModelLayout, _ reader: ModelReader) throws {
      description = layout.configuration.description.layers[index]
      groupKinds = description.groups
      var norms: [Norm] = []
      var vectors: [(TensorSlot, [Float])] = []
      var routers: [(TensorSlot, LinearGroup)] = []
      var linears = [[Linear]](repeating: [], count: groupKinds.count)
      for tensor in layout.layer(index) {
        switch tensor.role {
        case .linear(let kind):
          guard let group = groupKinds.firstIndex(of: kind) else { continue }
          linears[group].append(try reader.linear(tensor))
        case .norm(let norm): norms.append(try reader.norm(tensor, norm))
        case .vector: vectors.append((tensor.slot, try reader.vector(tensor)))
        case .router: routers.append((tensor.slot, LinearGroup([try reader.linear(tensor)])))
        case .embedding, .head: preconditionFailure("'\(tensor.module)' is in no layer")
        }
      }
      self.norms = norms
      self.vectors = vectors
      self.routers = routers
      groups = linears.map { LinearGroup($0) }
    }
  }
}

extension Transformer.DecoderLayer {
  /// Returns the group of a kind.
  package subscript(kind: LinearGroupKind) -> LinearGroup {
    get { groups[index(of: kind)] }
    set { groups[index(of: kind)] = newValue }
  }

  /// Returns the norm of a description.
  package subscript(norm description: NormDescription) -> Norm {
    guard description.hasWeights else {
      return Norm(description, weights: [Float](repeating: 1, count: description.slot.axes[0].size))
    }
    guard let norm = norms.first(where: { $0.description.slot.module == description.slot.module }) else {
      preconditionFailure("the layer has no norm '\(description.slot.module)'")
    }
    return norm
  }

  /// Returns the values of a vector; none without a slot.
  package subscript(vector slot: TensorSlot?) -> [Float] {
    guard let slot else { return [] }
    guard let vector = vectors.first(where: { $0.slot.module == slot.module }) else {
      preconditionFailure("the layer has no vector '\(slot.module)'")
    }
    return vector.values
  }

  /// Returns the matrix that chooses experts; products with it are never rounded.
  subscript(router slot: TensorSlot) -> LinearGroup {
    guard let router = routers.first(where: { $0.slot.module == slot.module }) else {
      preconditionFailure("the layer has no router '\(slot.module)'")
    }
    return router.linear
  }

  /// The factor of the stream after the last part.
  var streamFactor: Float { description.streamFactor.map { self[vector: $0][0] } ?? 1 }

  /// Returns the index of a kind in `groups`.
  package func index(of kind: LinearGroupKind) -> Int {
    guard let index = groupKinds.firstIndex(of: kind) else {
      preconditionFailure("the layer has no group \(kind)")
    }
    return index
  }

  /// The linears, in the order of the computation.
  package var linears: [Linear] { groups.flatMap(\.linears) }

  /// Sets the precision to which the operands of all products with weights are rounded.
  package mutating func setOperands(_ operands: ProductOperands) {
    for index in groups.indices { groups[index].operands = operands }
  }
}
