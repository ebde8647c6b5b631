public import Checkpoints

/// An adapter of PEFT that a pass reads.
public struct AdapterSource: Sendable, Equatable {
  /// The folder with `adapter_config.json` and `adapter_model.safetensors`.
  public var path: PathOption
  /// The convention of a pooled adapter; nil uses the configuration and PEFT's convention.
  public var pooling: PoolingConvention?

  /// Names an adapter.
  public init(path: PathOption, pooling: PoolingConvention? = nil) {
    self.path = path
    self.pooling = pooling
  }
}

/// Options that can name an adapter of PEFT.
protocol AdapterTaking: PassOptionValues {
  /// The adapter that the pass reads, if any.
  var adapter: AdapterSource? { get set }
}

extension AdapterTaking {
  /// The keys that describe an adapter.
  static var adapterKeys: [String] { ["adapter", "pooling"] }

  /// Returns the declarations of these keys.
  ///
  /// - Parameters:
  ///   - standing: The words for the default without an adapter.
  ///   - help: The purpose of the adapter.
  /// - Returns: The declarations of both.
  @PassOptionTable<Self> static func adapterDeclarations(
    _ standing: String, _ help: String
  ) -> [PassOption<Self>] {
    Option("adapter", \.adapterPath, .adapter, help).byDefault(standing)
    Option("pooling", \.adapterPooling, .word, "convention of a pooled adapter, see `peft.md`")
      .byDefault("as the adapter's configuration says")
  }

  /// Rejects options of an adapter when no adapter is named.
  func requireAdapter(_ given: GivenOptions) throws {
    guard adapter == nil, given.has("pooling") else { return }
    throw given.misplaced("pooling", "goes with 'adapter' only")
  }

  private var adapterPath: PathOption? {
    get { adapter?.path }
    set { adapter = newValue.map { AdapterSource(path: $0, pooling: adapter?.pooling) } }
  }

  private var adapterPooling: PoolingConvention? {
    get { adapter?.pooling }
    set { adapter?.pooling = newValue }
  }
}
