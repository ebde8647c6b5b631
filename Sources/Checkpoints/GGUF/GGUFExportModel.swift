/// The hyperparameters of a Llama model, as a GGUF file states them.
package struct GGUFExportModel: Sendable, Equatable {
  /// How positions are stretched.
  package enum RotaryScaling: Sendable, Equatable {
    /// Every frequency is divided by the factor.
    case linear(factor: Double)
    /// Each frequency is divided by its own factor; as many as half a head has columns.
    case factors([Float], Llama3Stretching)
  }

  package var name: String
  package var contextLength: Int
  package var embeddingLength: Int
  package var blockCount: Int
  package var feedForwardLength: Int
  package var headCount: Int
  package var keyValueHeadCount: Int
  package var headSize: Int
  package var vocabularySize: Int
  package var normEpsilon: Float
  package var rotaryBase: Double
  package var rotaryScaling: RotaryScaling?
  /// Whether the output head is the embedding, and no tensor of its own.
  package var tiesEmbeddings: Bool

  /// Describes a model.
  package init(
    name: String, contextLength: Int, embeddingLength: Int, blockCount: Int, feedForwardLength: Int,
    headCount: Int, keyValueHeadCount: Int, headSize: Int, vocabularySize: Int, normEpsilon: Float,
    rotaryBase: Double, rotaryScaling: RotaryScaling? = nil, tiesEmbeddings: Bool
  ) {
    self.name = name
    self.contextLength = contextLength
    self.embeddingLength = embeddingLength
    self.blockCount = blockCount
    self.feedForwardLength = feedForwardLength
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headSize = headSize
    self.vocabularySize = vocabularySize
    self.normEpsilon = normEpsilon
    self.rotaryBase = rotaryBase
    self.rotaryScaling = rotaryScaling
    self.tiesEmbeddings = tiesEmbeddings
  }
}

/// A key of a GGUF file's metadata and its value.
package struct GGUFExportMember: Sendable, Equatable {
  package let key: String
  package let value: GGUFValue

  package init(_ key: String, _ value: GGUFValue) {
    self.key = key
    self.value = value
  }
}

extension GGUFExportModel {
  /// The metadata `llama.*`, in the order in which they are written.
  var members: [GGUFExportMember] {
    let sizes: [(String, Int)] = [
      ("llama.context_length", contextLength), ("llama.embedding_length", embeddingLength),
      ("llama.block_count", blockCount), ("llama.feed_forward_length", feedForwardLength),
      ("llama.attention.head_count", headCount), ("llama.attention.head_count_kv", keyValueHeadCount),
      ("llama.attention.key_length", headSize), ("llama.attention.value_length", headSize),
      ("llama.rope.dimension_count", headSize), ("llama.vocab_size", vocabularySize),
    ]
    var members = sizes.map { GGUFExportMember($0, .uint32(UInt32(clamping: $1))) }
    members.append(.init("llama.attention.layer_norm_rms_epsilon", .float32(normEpsilon)))
    members.append(.init("llama.rope.freq_base", .float32(Float(rotaryBase))))
    if case .linear(let factor) = rotaryScaling {
      members.append(.init("llama.rope.scaling.type", .string("linear")))
      members.append(.init("llama.rope.scaling.factor", .float32(Float(factor))))
    }
    return members
  }
}
