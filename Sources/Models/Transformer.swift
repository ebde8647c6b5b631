public import Checkpoints
package import Kernels

/// A decoder of the Llama family, read from a checkpoint: dense or packed weights, adapters beside them.
///
/// Weights stay in the file (or in memory as they are stored); products unpack them tile by tile.
public struct Transformer: Sendable {
  /// The hyperparameters.
  public let configuration: LlamaConfiguration
  /// `[vocabulary, hidden]`.
  package var embedding: Weight
  /// The decoder layers, first to last.
  package var layers: [DecoderLayer]
  /// `[hidden]`.
  package let finalNorm: [Float]
  /// `[vocabulary, hidden]`; the embedding when they are tied.
  package var head: LinearGroup
  /// The attention of every layer.
  package private(set) var attention: Attention

  /// One decoder layer.
  package struct DecoderLayer: Sendable {
    /// `[hidden]`, before attention.
    package let inputNorm: [Float]
    /// Queries, keys and values.
    package var queriesKeysValues: LinearGroup
    /// From the heads back to the residual stream.
    package var attentionOutput: LinearGroup
    /// `[hidden]`, before the feed-forward part.
    package let middleNorm: [Float]
    /// The gate, then what is gated.
    package var gateAndUp: LinearGroup
    /// Back to the residual stream.
    package var down: LinearGroup
  }

  /// Reads the model of a checkpoint; weights are mapped, not copied.
  ///
  /// - Throws: `FormatError` when a tensor is missing, has another shape than the configuration says, or is of a type
  ///   that is no weight, or the embedding has an adapter.
  public init(_ checkpoint: Checkpoint) throws {
    let reader = ModelReader(checkpoint: checkpoint)
    let c = try LlamaConfiguration(of: checkpoint)
    configuration = c
    attention = Attention(
      headCount: c.headCount, keyValueHeadCount: c.keyValueHeadCount, headSize: c.headSize)
    let embedding = try reader.linear("model.embed_tokens", rows: c.vocabularySize, columns: c.hiddenSize)
    guard embedding.adapter == nil else {
      throw FormatError(
        checkpoint.path, at: "module '\(embedding.name)'",
        .unsupported("an adapter of the embedding is not supported"))
    }
    self.embedding = embedding.weight
    layers = try (0..<c.layerCount).map { try DecoderLayer($0, c, reader) }
    finalNorm = try reader.vector("model.norm.weight", count: c.hiddenSize)
    if c.tiesEmbeddings {
      head = LinearGroup([Linear(name: "lm_head", weight: embedding.weight)])
    } else {
      head = LinearGroup([try reader.linear("lm_head", rows: c.vocabularySize, columns: c.hiddenSize)])
    }
  }
}

extension Transformer.DecoderLayer {
  /// Reads one layer.
  ///
  /// - Throws: What `Transformer.init` throws.
  init(_ index: Int, _ c: LlamaConfiguration, _ reader: ModelReader) throws {
    let layer = "model.layers.\(index)"
    let queryWidth = c.headCount * c.headSize
    let keyWidth = c.keyValueHeadCount * c.headSize
    inputNorm = try reader.vector("\(layer).input_layernorm.weight", count: c.hiddenSize)
    queriesKeysValues = LinearGroup([
      try reader.linear("\(layer).self_attn.q_proj", rows: queryWidth, columns: c.hiddenSize),
      try reader.linear("\(layer).self_attn.k_proj", rows: keyWidth, columns: c.hiddenSize),
      try reader.linear("\(layer).self_attn.v_proj", rows: keyWidth, columns: c.hiddenSize),
    ])
    attentionOutput = LinearGroup([
      try reader.linear("\(layer).self_attn.o_proj", rows: c.hiddenSize, columns: queryWidth)
    ])
    middleNorm = try reader.vector("\(layer).post_attention_layernorm.weight", count: c.hiddenSize)
    gateAndUp = LinearGroup([
      try reader.linear("\(layer).mlp.gate_proj", rows: c.intermediateSize, columns: c.hiddenSize),
      try reader.linear("\(layer).mlp.up_proj", rows: c.intermediateSize, columns: c.hiddenSize),
    ])
    down = LinearGroup([
      try reader.linear("\(layer).mlp.down_proj", rows: c.hiddenSize, columns: c.intermediateSize)
    ])
  }

  /// The groups of linears, in the order of the computation.
  package static var groups: [any WritableKeyPath<Self, LinearGroup> & Sendable] {
    [\.queriesKeysValues, \.attentionOutput, \.gateAndUp, \.down]
  }
}

extension Transformer.DecoderLayer {
  /// Sets what the operands of all products with weights are rounded to.
  package mutating func setOperands(_ operands: ProductOperands) {
    for group in Self.groups { self[keyPath: group].operands = operands }
  }
}

extension Transformer {
  /// What the operands of all products with weights, and of those in attention over whole windows, are rounded to.
  package var operands: ProductOperands {
    get { head.operands }
    set {
      head.operands = newValue
      attention.operands = newValue
      for index in layers.indices { layers[index].setOperands(newValue) }
    }
  }

  /// Every linear of the layers, in the order of the computation.
  package var layerLinears: [Linear] {
    layers.flatMap { layer in DecoderLayer.groups.flatMap { layer[keyPath: $0].linears } }
  }

  /// Changes every linear of the layers in place, in the order of the computation.
  package mutating func updateLayerLinears(_ body: (inout Linear) throws -> Void) rethrows {
    for layer in layers.indices {
      for group in DecoderLayer.groups {
        for index in layers[layer][keyPath: group].linears.indices {
          try body(&layers[layer][keyPath: group].linears[index])
        }
      }
    }
  }
}
