package import Kernels

/// Feed-forward networks of which each token uses a few, chosen by a router.
package struct ExpertsDescription: Sendable, Equatable {
  /// The softmax that gives the weights of a token's experts.
  package enum Weighting: Sendable, Equatable {
    /// Over the chosen experts, so that the weights of a token add up to 1.
    case amongChosen
    /// Over all experts.
    case amongAll
  }

  /// One gated feed-forward network.
  package struct Expert: Sendable, Equatable {
    /// `[inside, stream]`; its output is activated.
    package let gate: TensorSlot
    /// `[inside, stream]`; its output multiplies the activated gate.
    package let up: TensorSlot
    /// `[stream, inside]`.
    package let down: TensorSlot

    /// Joins the linears of an expert.
    package init(gate: TensorSlot, up: TensorSlot, down: TensorSlot) {
      self.gate = gate
      self.up = up
      self.down = down
    }
  }

  /// A network that every token uses, too.
  package struct Shared: Sendable, Equatable {
    /// The network.
    package let expert: Expert
    /// The matrix whose sigmoid gives the weight of its output, `[1, stream]`.
    package let gate: TensorSlot

    /// Joins a network and the gate of its output.
    package init(_ expert: Expert, gate: TensorSlot) {
      self.expert = expert
      self.gate = gate
    }
  }

  /// What a router does beside multiplying by its matrix.
  package struct Routing: Sendable, Equatable {
    /// The norm of the router's input; nil if it reads the input of the operation.
    package var norm: NormDescription?
    /// The factor of the router's outputs.
    package var factor: Float = 1
    /// The factors of the experts' weights after the softmax, `[experts]`; nil without them.
    package var expertFactors: TensorSlot?

    /// A router that is a matrix alone.
    package init() {}
  }

  /// The matrix whose outputs rank the experts, `[experts, stream]`.
  package let router: TensorSlot
  /// What the router does beside multiplying by its matrix.
  package let routing: Routing
  /// The norm of the experts' input; nil if they read the input of the operation.
  package let norm: NormDescription?
  /// The experts, in the order of the router's outputs.
  package let experts: [Expert]
  /// The network that every token uses, if there is one; its groups follow those of the experts.
  package let shared: Shared?
  /// The number of experts of a token, at least 1 and at most as many as there are.
  package let chosenCount: Int
  /// The weights of a token's experts.
  package let weighting: Weighting
  /// The activation of the gates.
  package let activation: Activation
  /// How checkpoints may hold the weights of all experts together.
  package let fusion: ExpertFusion?
  /// The module below which MLX stacks the linears of all experts, relative to the layer.
  package let stack: String

  /// Describes experts and their router.
  package init(
    router: TensorSlot, routing: Routing = Routing(), norm: NormDescription? = nil, experts: [Expert],
    shared: Shared? = nil, chosenCount: Int, weighting: Weighting, activation: Activation,
    fusion: ExpertFusion?, stack: String
  ) {
    precondition((1...experts.count).contains(chosenCount), "\(chosenCount) of \(experts.count) experts")
    precondition(norm == nil || shared == nil, "the gate of a shared network reads the input without a norm")
    self.router = router
    self.routing = routing
    self.norm = norm
    self.experts = experts
    self.shared = shared
    self.chosenCount = chosenCount
    self.weighting = weighting
    self.activation = activation
    self.fusion = fusion
    self.stack = stack
  }

  /// The experts, then the network that every token uses.
  private var all: [Expert] { experts + (shared.map { [$0.expert] } ?? []) }

  /// The groups of linears, expert by expert.
  package var groups: [LinearGroupKind] {
    all.indices.flatMap { [.expertGateAndUp($0), .expertDown($0)] }
  }

  /// Whether a group of linears is among `groups`.
  func has(_ group: LinearGroupKind) -> Bool {
    group.expert.map { $0 < experts.count + (shared == nil ? 0 : 1) } ?? false
  }

  /// The tensors, those of the router first.
  ///
  /// - Parameter before: The norm whose output the operation reads, if any.
  /// - Returns: Norms, routers and factors, then the linears expert by expert.
  func entries(after before: NormDescription?) -> [LayerDescription.Entry] {
    var entries = [routing.norm, norm].compactMap(\.self).map {
      LayerDescription.Entry(slot: $0.slot, group: nil, ownNorm: $0, norm: nil)
    }
    entries.append(
      LayerDescription.Entry(
        slot: router, group: nil, ownNorm: nil, norm: routing.norm ?? before, isRouter: true))
    if let shared {
      entries.append(
        LayerDescription.Entry(slot: shared.gate, group: nil, ownNorm: nil, norm: before, isRouter: true))
    }
    if let factors = routing.expertFactors {
      entries.append(LayerDescription.Entry(slot: factors, group: nil, ownNorm: nil, norm: nil))
    }
    let norm = norm ?? before
    for (index, expert) in all.enumerated() {
      for slot in [expert.gate, expert.up] {
        entries.append(
          LayerDescription.Entry(slot: slot, group: .expertGateAndUp(index), ownNorm: nil, norm: norm))
      }
      entries.append(
        LayerDescription.Entry(slot: expert.down, group: .expertDown(index), ownNorm: nil, norm: nil))
    }
    return entries
  }
}

/// The tensors of a checkpoint that hold the weights of all experts of a layer.
///
/// `m.gate_up_proj` has gate and up, `m.down_proj` the linear back to the stream. Biases are
/// `m.gate_up_proj_bias` and `m.down_proj_bias`.
package struct ExpertFusion: Sendable, Equatable {
  /// The order of the dimensions.
  package enum Order: Sendable, Equatable {
    /// `[experts, gate then up, stream]` and `[experts, stream, inside]`: each slice is a weight.
    case outputsFirst
    /// `[experts, stream, gate and up in turn]` and `[experts, inside, stream]`: each slice is transposed.
    case inputsFirst
  }

  /// The module of the two tensors, relative to the layer.
  package let module: String
  /// The order of the dimensions.
  package let order: Order

  /// Names the module of fused tensors.
  package init(_ module: String, order: Order) {
    self.module = module
    self.order = order
  }
}

extension DecoderParts {
  /// The maximum number of experts of a layer.
  private static let expertLimit = 1 << 12

  /// The names of an expert's linears, and where other programs put them.
  struct ExpertNames {
    /// The module of the experts, relative to the layer: `mlp.experts`.
    var module = "mlp.experts"
    /// The linears of an expert: gate, up and down.
    var linears = ["gate_proj", "up_proj", "down_proj"]
    /// The module of the router, relative to the layer.
    var router = "mlp.gate"
    /// The key of `config.json` with the number of experts of a token.
    var chosenKey = "num_experts_per_tok"
    /// The module below which MLX stacks the linears.
    var stack = "mlp.switch_mlp"
    /// The module of the network that every token uses, and that of the gate of its output.
    var shared = (module: "mlp.shared_expert", gate: "mlp.shared_expert_gate")
  }

  /// Experts without a norm before them.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`, for the number of experts of a token.
  ///   - names: The modules.
  ///   - count: The number of experts.
  ///   - missingChosenCount: The number of experts of a token if no key states it; nil if one has to.
  ///   - width: The width inside an expert.
  ///   - sharedWidth: The width inside the network that every token uses; nil without one.
  ///   - routing: What the router does beside multiplying by its matrix.
  ///   - norm: The norm of the experts' input; nil if they read the input of the operation.
  ///   - weighting: The weights of a token's experts.
  ///   - activation: The activation of the gates.
  ///   - hasBias: Whether router and experts have biases.
  ///   - fusion: How checkpoints may hold the weights of all experts together.
  /// - Returns: The operation.
  /// - Throws: `FormatError` when a token has more experts than there are, or a number is not stated.
  func experts(
    _ keys: ConfigurationKeys, _ names: ExpertNames, count: Int, missingChosenCount: Int?, width: Int,
    sharedWidth: Int? = nil, routing: ExpertsDescription.Routing = ExpertsDescription.Routing(),
    norm: NormDescription? = nil, weighting: ExpertsDescription.Weighting, activation: Activation,
    hasBias: Bool = false, fusion: ExpertFusion? = nil
  ) throws(FormatError) -> LayerOperation {
    let key = names.chosenKey
    let chosenCount: Int
    if let missingChosenCount {
      chosenCount = try keys.optionalSize(key) ?? missingChosenCount
    } else {
      chosenCount = try keys.size(key)
    }
    guard chosenCount <= count else {
      throw keys.malformed(key, "\(chosenCount) experts per token are more than the \(count) that there are")
    }
    let inside = ModelAxis(.feedForward, width)
    let experts = (0..<count).map { expert in
      func slot(_ linear: Int, _ gguf: String, _ axes: [ModelAxis]) -> TensorSlot {
        var form = GGUFForm()
        form.stackIndex = expert
        return TensorSlot(
          "\(names.module).\(expert).\(names.linears[linear])", gguf: gguf, axes, hasBias: hasBias,
          ggufForm: form)
      }
      return ExpertsDescription.Expert(
        gate: slot(0, "ffn_gate_exps", [inside, sizes.stream]),
        up: slot(1, "ffn_up_exps", [inside, sizes.stream]),
        down: slot(2, "ffn_down_exps", [sizes.stream, inside]))
    }
    return .experts(
      ExpertsDescription(
        router: TensorSlot(
          names.router, gguf: "ffn_gate_inp", [ModelAxis(.other, count), sizes.stream], hasBias: hasBias),
        routing: routing, norm: norm, experts: experts, shared: sharedWidth.map { shared(names, width: $0) },
        chosenCount: chosenCount, weighting: weighting, activation: activation, fusion: fusion,
        stack: names.stack))
  }

  /// The network that every token uses.
  private func shared(_ names: ExpertNames, width: Int) -> ExpertsDescription.Shared {
    let inside = ModelAxis(.feedForward, width)
    func slot(_ linear: Int, _ gguf: String, _ axes: [ModelAxis]) -> TensorSlot {
      TensorSlot("\(names.shared.module).\(names.linears[linear])", gguf: gguf, axes)
    }
    return ExpertsDescription.Shared(
      ExpertsDescription.Expert(
        gate: slot(0, "ffn_gate_shexp", [inside, sizes.stream]),
        up: slot(1, "ffn_up_shexp", [inside, sizes.stream]),
        down: slot(2, "ffn_down_shexp", [sizes.stream, inside])),
      gate: TensorSlot(names.shared.gate, gguf: "ffn_gate_inp_shexp", [ModelAxis(.other, 1), sizes.stream]))
  }

  /// Reads the number of experts, which newer configurations name differently.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - missing: The number if no key states it; nil if one has to.
  /// - Returns: The number, at least 1.
  /// - Throws: `FormatError` when it is no number of experts, it is not stated, or two keys contradict each
  ///   other.
  static func expertCount(_ keys: ConfigurationKeys, missing: Int?) throws(FormatError) -> Int {
    let older = try keys.optionalSize("num_experts", limit: expertLimit)
    let newer = try keys.optionalSize("num_local_experts", limit: expertLimit)
    if let older, let newer, older != newer {
      throw keys.malformed("num_experts", "\(older) contradicts num_local_experts, \(newer)")
    }
    if let count = newer ?? older ?? missing { return count }
    return try keys.size("num_experts")
  }
}
