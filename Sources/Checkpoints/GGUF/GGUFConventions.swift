/// What llama.cpp fixes, ignores or reads in the models of a family.
///
/// The defaults are those of most architectures: no windows, no biases, no factors.
package struct GGUFConventions: Sendable {
  /// The layers that llama.cpp gives a window.
  package enum Windows: Sendable, Equatable {
    /// None; all layers see the whole context.
    case ignored
    /// All but every nth layer; no key says so.
    case allButEvery(Int)
    /// Those that the file lists.
    case listed
  }

  /// The layers whose queries and keys llama.cpp turns.
  package enum TurningLayers: Sendable, Equatable {
    /// All layers.
    case all
    /// All but every nth layer; no key says so.
    case allButEvery(Int)
    /// The layers with a window.
    case windowed
  }

  /// A number with a key in both formats.
  package struct Number: Sendable, Equatable {
    /// The key in a GGUF file, without the architecture.
    let gguf: String
    /// The key in `config.json`.
    let configuration: String
    /// Whether a file without the key is refused, because the two formats assume other values.
    let isRequired: Bool

    /// Joins two keys.
    package init(_ gguf: String, _ configuration: String, isRequired: Bool = false) {
      self.gguf = gguf
      self.configuration = configuration
      self.isRequired = isRequired
    }
  }

  /// Keys of the architecture that others do not have.
  var ownKeys: [GGUFOwnKeys] = []
  /// What the norms divide by, which decides about the key of their epsilon.
  package var normKind = NormDescription.Kind.rootMeanSquare
  /// The layers that llama.cpp gives a window.
  package var windows = Windows.ignored
  /// Whether the file states the window although llama.cpp ignores it.
  package var statesIgnoredWindow = false
  /// The layers that turn.
  package var turningLayers = TurningLayers.all
  /// The number of layers with which llama.cpp takes the stream's width per head for the scale of the scores
  /// instead of the width of a head; set where the configuration has `query_pre_attn_scalar`.
  package var streamScaledLayerCount: Int?
  /// Whether the file states factors of the embeddings, the scores, the parts and the logits; that of the
  /// logits is a divisor.
  package var statesMultipliers = false
  /// Whether the file states the factor of the logits.
  package var statesLogitScale = false
  /// Whether llama.cpp bounds scores and logits even if the file does not say so.
  package var requiresCaps = false
  /// Whether the file says that attention and feed-forward can run side by side.
  package var statesParallelParts = false
  /// The groups whose linears can have biases.
  package var biases: Set<LinearGroupKind> = []
  /// Whether experts and their router can have biases.
  package var expertsHaveBiases = false
  /// The sizes that a file may state as a list with a number for each layer.
  var listedSizes: Set<String> = []
  /// Whether yarn is read without rounded bounds unless the file says otherwise, because published models do
  /// not round them; llama.cpp does.
  package var leavesYarnBounds = false
  /// Whether the heads together can be wider or narrower than the stream.
  package var hasOwnHeadSize = false
  /// Whether the output head has to be in the file even if it is the embedding.
  package var requiresHead = false
  /// Whether the divisors of Llama 3's scaling can be in the file.
  package var holdsDivisors = false
  /// Whether the divisors say which pairs of a head turn in layers without a window.
  var holdsPairShare = false
  /// Whether the divisors of short and long sequences can be in the file.
  package var holdsLengthDivisors = false
  /// Whether queries can grow with their position.
  package var holdsQueryGrowth = false
  /// The key in `config.json` of the base in windowed layers; nil where all layers turn alike.
  package var windowedBaseKey: String?
  /// The base in windowed layers if the file does not state it; nil means that of the other layers.
  package var windowedBase: Double?
  /// The key in `config.json` of the base.
  package var baseKey = "rope_theta"
  /// The key in `config.json` of the share of a head that turns; nil where all of it turns.
  package var turnedShareKey: String?
  /// The numbers that are read under another key.
  package var numbers: [Number] = []
  /// Members of `config.json` that follow from the architecture.
  package var fixedMembers: [JSONValue.Member] = []
  /// The key that tells the family from others with the same architecture.
  package var identifyingKey: String?

  /// The conventions of most architectures.
  package init() {}

  /// The keys of a file that are understood, without the architecture.
  var understoodKeys: Set<String> {
    var keys: Set = [
      "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
      "expert_count", "expert_used_count", "tensor_data_layout", "attention.head_count",
      "attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count",
      "rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor",
      "rope.scaling.original_context_length", "rope.scaling.finetuned", "rope.scaling.yarn_beta_fast",
      "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_attn_factor",
    ]
    keys.insert(GGUFKeyNames.epsilon(normKind))
    for own in ownKeys { keys.formUnion(own.names) }
    keys.formUnion(numbers.map(\.gguf))
    if windows != .ignored || statesIgnoredWindow { keys.insert(GGUFKeyNames.window) }
    if windows == .listed { keys.insert(GGUFKeyNames.windowList) }
    if statesParallelParts { keys.insert(GGUFKeyNames.parallel) }
    if holdsLengthDivisors { keys.insert(GGUFKeyNames.amplitude) }
    if holdsQueryGrowth { keys.formUnion([GGUFKeyNames.queryGrowth, GGUFKeyNames.logarithmWeight]) }
    if windowedBaseKey != nil { keys.insert(GGUFKeyNames.windowedBase) }
    return keys
  }

  /// Whether the architecture has experts.
  var holdsExperts: Bool { ownKeys.contains { $0.names.contains(GGUFKeyNames.expertCount) } }

  /// Whether a tensor with a role can have a bias; norms decide by their kind.
  func hasBiases(of role: ModelTensor.Role) -> Bool {
    switch role {
    case .linear(let group) where group.expert == nil: biases.contains(group)
    case .linear, .router: expertsHaveBiases
    case .embedding, .norm, .head, .vector, .matrix: true
    }
  }
}

/// Keys of a GGUF file, without the architecture, that several places read or write.
enum GGUFKeyNames {
  static let window = "attention.sliding_window"
  static let windowList = "attention.sliding_window_pattern"
  static let parallel = "use_parallel_residual"
  static let feedForwardLength = "feed_forward_length"
  static let keyValueHeadCount = "attention.head_count_kv"
  static let keyLength = "attention.key_length"
  static let valueLength = "attention.value_length"
  static let expertCount = "expert_count"
  static let base = "rope.freq_base"
  static let windowedBase = "rope.freq_base_swa"
  static let turnedCount = "rope.dimension_count"
  static let amplitude = "rope.scaling.attn_factor"
  static let queryGrowth = "attention.temperature_scale"
  static let logarithmWeight = "rope.scaling.yarn_log_multiplier"

  /// The key of the norms' epsilon.
  static func epsilon(_ kind: NormDescription.Kind) -> String {
    switch kind {
    case .rootMeanSquare: "attention.layer_norm_rms_epsilon"
    case .standardDeviation: "attention.layer_norm_epsilon"
    }
  }
}
