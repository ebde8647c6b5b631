public import Checkpoints

/// An adapter of PEFT that a pass reads.
public struct AdapterSource: Sendable, Equatable {
  /// The folder with `adapter_config.json` and `adapter_model.safetensors`.
  public var path: PathOption
  /// How a pooled adapter is meant; nil goes by the configuration and PEFT's convention.
  public var pooling: PoolingConvention?

  /// Names an adapter.
  public init(path: PathOption, pooling: PoolingConvention? = nil) {
    self.path = path
    self.pooling = pooling
  }
}

extension AdapterSource {
  static let keys = ["adapter", "pooling"]

  /// Reads the keys of an adapter among those of a pass; nil when none is named.
  static func read(_ map: RecipeMap) throws -> AdapterSource? {
    let pooling: PoolingConvention? = try map.optional("pooling") { try $0.choice() }
    guard let path = try map.optional("adapter", { try $0.path() }) else {
      if pooling != nil, let member = map.members.first(where: { $0.name == "pooling" }) {
        throw PassError.recipe(member.keyPlace, "goes with 'adapter' only")
      }
      return nil
    }
    return AdapterSource(path: path, pooling: pooling)
  }

  /// The keys of an adapter, or of none.
  static func members(_ source: AdapterSource?) -> [JSONValue.Member] {
    [
      .init("adapter", .optional(source) { .recipeText($0.path.written) }),
      .init("pooling", .optional(source?.pooling) { .string($0.rawValue) }),
    ]
  }

  /// The same adapter for a recipe at another place.
  func moved(to folder: String) -> AdapterSource {
    AdapterSource(path: path.moved(to: folder), pooling: pooling)
  }
}

extension PassOptions {
  /// The adapter that the pass reads, if any.
  var adapter: AdapterSource? {
    switch self {
    case .merge(let options): options.adapter
    case .attach(let options): options.adapter
    case .rotate, .quantize, .calibrate, .verify: nil
    }
  }
}
