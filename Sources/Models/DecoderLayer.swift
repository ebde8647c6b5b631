package import Checkpoints
package import Kernels

extension Transformer {
  /// The weights of one decoder layer, addressed by their slots in its description.
  package struct DecoderLayer: Sendable {
    /// The operations of the layer.
    package let description: LayerDescription
    /// The norms, in the order of the computation.
    private let norms: [(slot: TensorSlot, weights: [Float])]
    /// The groups of linears, in the order of the computation.
    package var groups: [LinearGroup]
    /// The kind of each of `groups`.
    package let groupKinds: [LinearGroupKind]

    /// Reads one layer.
    ///
    /// - Throws: The errors of `Transformer.init`.
    init(_ index: Int, _ layout: ModelLayout, _ reader: ModelReader) throws {
      description = layout.configuration.family.layer
      groupKinds = description.groups
      var norms: [(TensorSlot, [Float])] = []
      var linears = [[Linear]](repeating: [], count: groupKinds.count)
      for tensor in layout.layer(index) {
        if case .linear(let kind) = tensor.role, let group = groupKinds.firstIndex(of: kind) {
          linears[group].append(try reader.linear(tensor))
        } else {
          norms.append((tensor.slot, try reader.vector(tensor)))
        }
      }
      self.norms = norms
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

  /// Returns the weights of a norm.
  package subscript(norm slot: TensorSlot) -> [Float] {
    guard let norm = norms.first(where: { $0.slot == slot }) else {
      preconditionFailure("the layer has no norm '\(slot.module)'")
    }
    return norm.weights
  }

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
