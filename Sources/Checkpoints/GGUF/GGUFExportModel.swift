/// The model of a checkpoint, as a GGUF file states it.
package struct GGUFExportModel: Sendable, Equatable {
  /// The name in the file.
  package var name: String
  /// The hyperparameters, and the places of the tensors.
  package var layout: ModelLayout
  /// Which matrix is the output head.
  package var head: OutputHead
  /// The tensors of the checkpoint that the file does not need.
  package var redundantTensors: Set<String>

  var configuration: ModelConfiguration { layout.configuration }

  /// Describes a model.
  package init(
    name: String, _ layout: ModelLayout, head: OutputHead, redundantTensors: Set<String> = []
  ) {
    self.name = name
    self.layout = layout
    self.head = head
    self.redundantTensors = redundantTensors
  }

  /// Describes the model of a checkpoint.
  ///
  /// - Throws: `FormatError` when its configuration is missing or not supported.
  package init(of checkpoint: Checkpoint, name: String) throws {
    let layout = try ModelLayout(of: checkpoint)
    let configurationPath = checkpoint.path + "/" + ModelConfiguration.fileName
    let family = layout.configuration.family
    guard family == .llama || family == .mistral, !layout.configuration.hasWindows else {
      throw FormatError(
        configurationPath, at: "key 'model_type'",
        .notExact("a model of type '\(family.modelType)' with these keys is not written to GGUF"))
    }
    switch layout.configuration.rotaryDescriptions.first?.parameters.scaling {
    case nil, .linear, .llama3: break
    case .dynamic, .yarn, .longrope, .proportional:
      throw FormatError(
        configurationPath, at: "key 'rope_scaling'",
        .unsupported("this rope type is not written to GGUF"))
    }
    self.init(
      name: name, layout, head: try layout.outputHead(in: checkpoint),
      redundantTensors: Set(try layout.redundantTensors(in: checkpoint)))
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
  /// The value of `general.architecture`.
  var architecture: String { configuration.family.ggufArchitecture }

  /// The factors of the rotary frequencies, if they differ.
  var rotaryFactors: [Float]? {
    rotary.flatMap { $0.parameters.divisors(headSize: $0.turnedCount) }
  }

  /// The first layer's way of turning queries and keys, if it turns them.
  var rotary: RotaryDescription? { configuration.rotaryDescriptions.first }

  /// The hyperparameters under keys that begin with the architecture, in the order of writing.
  var members: [GGUFExportMember] {
    let c = configuration
    let sizes: [(String, Int)] = [
      ("context_length", c.contextLength), ("embedding_length", c.hiddenSize),
      ("block_count", c.layerCount), ("feed_forward_length", c.intermediateSize),
      ("attention.head_count", c.headCount), ("attention.head_count_kv", c.keyValueHeadCount),
      ("attention.key_length", c.headSize), ("attention.value_length", c.headSize),
      ("rope.dimension_count", c.headSize), ("vocab_size", c.vocabularySize),
    ]
    func member(_ key: String, _ value: GGUFValue) -> GGUFExportMember {
      GGUFExportMember("\(architecture).\(key)", value)
    }
    var members = sizes.map { member($0, .uint32(UInt32(clamping: $1))) }
    members.append(member("attention.layer_norm_rms_epsilon", .float32(c.normEpsilon)))
    guard let rotary = rotary?.parameters else { return members }
    members.append(member("rope.freq_base", .float32(Float(rotary.theta))))
    if case .linear(let factor) = rotary.scaling {
      members.append(member("rope.scaling.type", .string("linear")))
      members.append(member("rope.scaling.factor", .float32(Float(factor))))
    }
    return members
  }
}
