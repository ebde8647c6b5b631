public import Checkpoints
package import Kernels

/// A decoder, read from a checkpoint, with dense or packed weights and optional adapters.
///
/// `LayerDescription` lists the operations of its layers. Weights stay mapped (or in memory as stored);
/// products unpack them tile by tile.
public struct Transformer: Sendable {
  /// The hyperparameters.
  public let configuration: ModelConfiguration
  /// The checkpoint's path, for errors.
  let path: String
  /// The names and shapes of the tensors.
  let layout: ModelLayout
  /// `[vocabulary, hidden]`.
  package var embedding: Weight
  /// The inputs of the layers beside the stream, if there are any.
  var layerInputs: LayerInputs?
  /// The decoder layers, first to last.
  package var layers: [DecoderLayer]
  /// The norm after the last layer.
  package let finalNorm: Norm
  /// `[vocabulary, hidden]`; the embedding when they are tied.
  package var head: LinearGroup
  /// Whether the output head is a tensor of its own.
  package let hasOwnHead: Bool
  /// The precision to which operands of attention over whole windows are rounded.
  package private(set) var attentionOperands = ProductOperands.f32

  /// Reads the model of a checkpoint; weights are mapped, not copied.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - keepsSteps: Whether tables stay bytes where they can; the model takes less memory and cannot be trained.
  /// - Throws: `FormatError` when a tensor is missing, has another shape than the configuration gives, has a
  ///   type that cannot hold weights, or when the embedding has an adapter.
  public init(_ checkpoint: Checkpoint, keepingSteps keepsSteps: Bool = false) throws {
    let layout = try ModelLayout(of: checkpoint)
    let checkpoint = try checkpoint.separatingExperts()
    let reader = ModelReader(checkpoint: checkpoint, keepsSteps: keepsSteps)
    let c = layout.configuration
    // The tensors are checked first, so that a wrong configuration never decides an allocation.
    try layout.requireTensors(in: checkpoint)
    configuration = c
    path = checkpoint.path
    self.layout = layout
    let embedding = try reader.linear(layout.embedding)
    guard embedding.adapter == nil else {
      throw FormatError(
        checkpoint.path, at: "module '\(embedding.name)'",
        .unsupported("an adapter of the embedding is not supported"))
    }
    self.embedding = embedding.weight
    layerInputs = try LayerInputs(layout, reader)
    layers = try (0..<c.layerCount).map { try DecoderLayer($0, layout, reader) }
    finalNorm = try reader.norm(layout.finalNorm, c.description.finalNorm)
    hasOwnHead = try layout.outputHead(in: checkpoint) == .own
    head = LinearGroup([
      hasOwnHead
        ? try reader.linear(layout.head) : Linear(name: layout.head.module, weight: embedding.weight)
    ])
  }
}

extension Transformer {
  /// The precision to which operands are rounded: of all products with weights, and of attention over whole
  /// windows.
  package var operands: ProductOperands {
    get { head.operands }
    set {
      head.operands = newValue
      attentionOperands = newValue
      layerInputs?.operands = newValue
      for index in layers.indices { layers[index].setOperands(newValue) }
    }
  }

  /// What inputs of all products of windows with weights are rounded to.
  package var inputRounding: InputRounding {
    get { head.inputRounding }
    set {
      head.inputRounding = newValue
      layerInputs?.inputRounding = newValue
      for layer in layers.indices {
        for group in layers[layer].groups.indices { layers[layer].groups[group].inputRounding = newValue }
      }
    }
  }

  /// The name of the embedding's module.
  package var embeddingName: String { layout.embedding.module }

  /// Every linear of the layers, in the order of the computation.
  package var layerLinears: [Linear] { layers.flatMap(\.linears) }

  /// Changes every linear of the layers in place, in the order of the computation.
  package mutating func updateLayerLinears(_ body: (inout Linear) throws -> Void) rethrows {
    for layer in layers.indices {
      for group in layers[layer].groups.indices {
        for index in layers[layer].groups[group].linears.indices {
          try body(&layers[layer].groups[group].linears[index])
        }
      }
    }
  }
}
