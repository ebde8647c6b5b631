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
  /// What llama.cpp computes differently from a stated length on, one sentence each.
  package var notices: [String]

  var configuration: ModelConfiguration { layout.configuration }

  /// Describes a model.
  package init(
    name: String, _ layout: ModelLayout, head: OutputHead, redundantTensors: Set<String> = [],
    notices: [String] = []
  ) {
    self.name = name
    self.layout = layout
    self.head = head
    self.redundantTensors = redundantTensors
    self.notices = notices
  }

  /// Describes the model of a checkpoint.
  ///
  /// - Throws: `FormatError` when its configuration is missing or not supported; `.notExact` when llama.cpp
  ///   computes something else.
  package init(of checkpoint: Checkpoint, name: String) throws {
    let layout = try ModelLayout(of: checkpoint)
    let path = checkpoint.path + "/" + ModelConfiguration.fileName
    let rules = GGUFExportRules(configuration: layout.configuration, path: path)
    let notices = try rules.notices()
    let requiresHead = layout.configuration.family.gguf.requiresHead
    let redundant = Set(try layout.redundantTensors(in: checkpoint))
    self.init(
      name: name, layout, head: requiresHead ? .own : try layout.outputHead(in: checkpoint),
      redundantTensors: requiresHead
        ? redundant.filter { ModuleTensor.split($0)?.module != layout.head.module } : redundant,
      notices: notices)
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

  private var conventions: GGUFConventions { configuration.family.gguf }

  /// The tensors that stand for the scaling of the wavelengths, with their names.
  var rotaryTensors: [(name: String, values: [Float])] {
    guard let rotary = configuration.globalRotary else { return [] }
    switch rotary.parameters.scaling {
    case .llama3:
      let divisors = rotary.parameters.divisors(headSize: rotary.turnedCount) ?? []
      return [(GGUFTensorNames.divisors, divisors)]
    case .longrope(let longrope):
      return [
        (GGUFTensorNames.longDivisors, longrope.longDivisors.map { Float($0) }),
        (GGUFTensorNames.shortDivisors, longrope.shortDivisors.map { Float($0) }),
      ]
    case .proportional where conventions.holdsPairShare, nil where conventions.holdsPairShare:
      return [(GGUFTensorNames.divisors, rotary.pairDivisors)]
    case nil, .linear, .dynamic, .yarn, .proportional: return []
    }
  }

  /// What our own files state about the scaling beside the keys that llama.cpp reads; nil if nothing.
  var rotaryStatement: JSONValue? {
    switch configuration.globalRotary?.parameters.scaling {
    case .llama3(let scaling): return scaling.statement
    case .yarn(let yarn) where conventions.leavesYarnBounds && yarn.roundsBounds:
      return .object([JSONValue.Member(GGUFRotary.truncateKey, .bool(true))])
    case nil, .linear, .dynamic, .yarn, .longrope, .proportional: return nil
    }
  }

  /// The hyperparameters under keys that begin with the architecture, in the order of writing.
  var members: [GGUFExportMember] {
    var members = sizes + [norm] + attention + factors + rotary
    for member in conventions.ownKeys.flatMap({ $0.write(configuration) }) {
      if let place = members.firstIndex(where: { $0.key == member.key }) {
        members[place] = member
      } else {
        members.append(member)
      }
    }
    return members.map { GGUFExportMember("\(architecture).\($0.key)", $0.value) }
  }

  private var sizes: [GGUFExportMember] {
    let c = configuration
    let sizes: [(String, Int)] = [
      ("context_length", c.contextLength), ("embedding_length", c.hiddenSize),
      ("block_count", c.layerCount), (GGUFKeyNames.feedForwardLength, c.intermediateSize),
      ("attention.head_count", c.headCount), (GGUFKeyNames.keyValueHeadCount, c.keyValueHeadCount),
      (GGUFKeyNames.keyLength, c.headSize), (GGUFKeyNames.valueLength, c.headSize),
      (GGUFKeyNames.turnedCount, c.globalRotary?.turnedCount ?? c.headSize),
      ("vocab_size", c.vocabularySize),
    ]
    return sizes.map { GGUFExportMember($0, size: $1) }
  }

  private var norm: GGUFExportMember {
    let norm = configuration.description.finalNorm
    return GGUFExportMember(GGUFKeyNames.epsilon(norm.kind), number: norm.epsilon)
  }

  /// The windows, the bounds of the scores, and whether the parts run side by side.
  private var attention: [GGUFExportMember] {
    let shapes = configuration.layerShapes
    let windows = shapes.map(\.attention.window)
    var members: [GGUFExportMember] = []
    if conventions.windows != .ignored || conventions.statesIgnoredWindow {
      // 0 stands for no window.
      members.append(GGUFExportMember(GGUFKeyNames.window, size: windows.compactMap(\.self).first ?? 0))
    }
    if conventions.windows == .listed {
      members.append(
        GGUFExportMember(
          GGUFKeyNames.windowList, .array(elementType: .bool, windows.map { .bool($0 != nil) })))
    }
    if let cap = shapes.first?.attention.scoreCap {
      members.append(GGUFExportMember("attn_logit_softcapping", number: cap))
    }
    if conventions.statesParallelParts {
      let isParallel = configuration.description.layers.first?.parts.contains { $0.isParallel } ?? false
      members.append(GGUFExportMember(GGUFKeyNames.parallel, .bool(isParallel)))
    }
    return members
  }

  /// The factors of embeddings, scores, parts and logits, and the bound of the logits.
  private var factors: [GGUFExportMember] {
    let description = configuration.description
    var members: [GGUFExportMember] = []
    if conventions.statesMultipliers {
      let operations = description.layers.first?.parts.flatMap(\.operations) ?? []
      let residual = operations.compactMap { if case .scale(let factor) = $0 { factor } else { nil } }.first
      members += [
        GGUFExportMember("attention.scale", number: configuration.layerShapes.first?.attention.scale ?? 1),
        GGUFExportMember("embedding_scale", number: description.embeddingScale),
        GGUFExportMember("residual_scale", number: residual ?? 1),
        GGUFExportMember("logit_scale", number: 1 / description.logitScale),
      ]
    }
    if conventions.statesLogitScale {
      members.append(GGUFExportMember("logit_scale", number: description.logitScale))
    }
    if let cap = description.logitCap {
      members.append(GGUFExportMember("final_logit_softcapping", number: cap))
    }
    return members
  }

  private var rotary: [GGUFExportMember] {
    guard let rotary = configuration.globalRotary else { return [] }
    var members = [GGUFExportMember(GGUFKeyNames.base, number: Float(rotary.parameters.theta))]
    if conventions.windowedBaseKey != nil {
      let windowed = configuration.layerShapes.first { $0.attention.window != nil }?.rotary ?? rotary
      members.append(GGUFExportMember(GGUFKeyNames.windowedBase, number: Float(windowed.parameters.theta)))
    }
    switch rotary.parameters.scaling {
    case .linear(let factor):
      members.append(GGUFExportMember("rope.scaling.type", .string("linear")))
      members.append(GGUFExportMember("rope.scaling.factor", number: Float(factor)))
    case .yarn(let yarn):
      members += [
        GGUFExportMember("rope.scaling.type", .string("yarn")),
        GGUFExportMember("rope.scaling.factor", number: Float(yarn.factor)),
        GGUFExportMember("rope.scaling.original_context_length", size: yarn.originalContext),
        GGUFExportMember("rope.scaling.yarn_beta_fast", number: Float(yarn.fastTurns)),
        GGUFExportMember("rope.scaling.yarn_beta_slow", number: Float(yarn.slowTurns)),
      ]
      if conventions.holdsQueryGrowth, let weights = yarn.logarithmWeights {
        members.append(
          GGUFExportMember(GGUFKeyNames.logarithmWeight, number: Float(weights.denominator)))
      }
    case .longrope(let longrope):
      members += [
        GGUFExportMember("rope.scaling.original_context_length", size: longrope.originalContext),
        GGUFExportMember(GGUFKeyNames.amplitude, number: Float(longrope.amplitude)),
      ]
    case nil, .llama3, .dynamic, .proportional: break
    }
    if let growth = rotary.queryGrowth {
      members.append(GGUFExportMember(GGUFKeyNames.queryGrowth, number: Float(growth.beta)))
    }
    return members
  }
}

extension GGUFExportMember {
  init(_ key: String, size: Int) { self.init(key, .uint32(UInt32(clamping: size))) }

  /// A list of sizes; llama.cpp reads lists of this type.
  init(_ key: String, sizes: [Int]) {
    self.init(key, .array(elementType: .int32, sizes.map { .int32(Int32(clamping: $0)) }))
  }

  fileprivate init(_ key: String, number: Float) { self.init(key, .float32(number)) }
}

extension RotaryDescription {
  /// What the frequency of each pair is divided by: a number that stops the pairs that do not turn.
  fileprivate var pairDivisors: [Float] {
    let pairCount = turnedCount / 2
    guard case .proportional(let scaling) = parameters.scaling else {
      return [Float](repeating: 1, count: pairCount)
    }
    let turning = scaling.pairCount(headSize: turnedCount)
    return (0..<pairCount).map { $0 < turning ? Float(scaling.factor) : GGUFOwnKeys.stoppingDivisor }
  }
}
