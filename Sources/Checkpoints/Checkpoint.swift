/// A checkpoint on disk: what is in it, and each tensor's bytes on demand.
///
/// Describing it reads headers only. A quantized weight of a module `m` is three tensors, as in MLX:
/// `m.weight` (`U32`, `[out, in * bits / 32]`), `m.scales` and `m.biases` (`[out, in / groupSize]`); an adapter
/// is `m.lora_A.weight` and `m.lora_B.weight`; trained changes of the tables are `m.scales_delta` and
/// `m.biases_delta`.
public struct Checkpoint: Sendable {
  /// The folder or file.
  public let path: String
  /// What kind of file or folder it is.
  public let format: CheckpointFormat
  /// What it holds.
  public let contents: CheckpointContents
  private let store: any TensorStore
  private let indexByName: [String: Int]

  /// Joins a description with the place the bytes come from.
  ///
  /// - Parameters:
  ///   - path: The folder or file.
  ///   - format: What kind of file or folder it is.
  ///   - contents: What it holds.
  ///   - store: Where the bytes come from.
  ///   - indexByName: The positions of the tensors by name, when the reader has made that already.
  package init(
    path: String, format: CheckpointFormat, contents: CheckpointContents, store: any TensorStore,
    indexByName: [String: Int]? = nil
  ) {
    self.path = path
    self.format = format
    self.contents = contents
    self.store = store
    self.indexByName = indexByName ?? Self.index(contents.tensors)
  }

  private static func index(_ tensors: [TensorInfo]) -> [String: Int] {
    var index: [String: Int] = [:]
    index.reserveCapacity(tensors.count)
    for (i, tensor) in tensors.enumerated() { index[tensor.name] = i }
    return index
  }

  /// The description of a tensor, or nil when there is none of that name.
  public func tensor(named name: String) -> TensorInfo? {
    indexByName[name].map { contents.tensors[$0] }
  }

  /// The bytes of a tensor, checked against their checksum where the format has one.
  ///
  /// - Throws: `FormatError` when there is no such tensor or its bytes are damaged.
  public func bytes(of name: String) throws -> TensorBytes {
    guard let tensor = tensor(named: name) else {
      throw FormatError(path, .missing("tensor '\(name)'"))
    }
    return try store.bytes(of: tensor)
  }

  /// The same bytes under another description, for planning steps that have not run, or with other files.
  ///
  /// - Parameters:
  ///   - contents: What it will hold.
  ///   - assets: The files that are not weights and will have other contents, by their names.
  /// - Returns: A checkpoint of which everything else is this one's.
  package func replacing(
    contents: CheckpointContents, assets: [String: TensorBytes] = [:]
  ) -> Checkpoint {
    Checkpoint(
      path: path, format: format, contents: contents,
      store: assets.isEmpty ? store : StoreWithAssets(base: store, assets: assets))
  }

  /// The same checkpoint whose tensors and modules have other names.
  ///
  /// - Parameter rename: Gives each name another one; no two get the same.
  /// - Returns: A checkpoint of which everything else is this one's.
  package func renamingTensors(_ rename: (String) -> String) -> Checkpoint {
    var contents = contents
    var originals: [String: TensorInfo] = [:]
    contents.tensors = contents.tensors.map { tensor in
      let renamed = TensorInfo(name: rename(tensor.name), dtype: tensor.dtype, shape: tensor.shape)
      originals[renamed.name] = tensor
      return renamed
    }
    contents.quantization = Dictionary(
      contents.quantization.map { (rename($0), $1) }, uniquingKeysWith: { first, _ in first })
    return Checkpoint(
      path: path, format: format, contents: contents,
      store: StoreWithOtherNames(base: store, originals: originals))
  }

  /// The files the checkpoint consists of, by their names inside it, sorted.
  package var files: [(name: String, path: String)] {
    get throws {
      guard try FileSystem.kind(of: path) == .folder else {
        return [(path.split(separator: "/").last.map(String.init) ?? path, path)]
      }
      let names = Set(store.weightFileNames + contents.assets.map(\.name))
      return names.sorted().map { ($0, path + "/" + $0) }
    }
  }

  /// The contents of an asset, or nil when there is none of that name.
  public func asset(named name: String) throws -> TensorBytes? {
    guard let asset = contents.assets.first(where: { $0.name == name }) else { return nil }
    return try store.bytes(of: asset)
  }
}

/// The kinds of files and folders that are read and written.
public enum CheckpointFormat: String, Sendable {
  /// A Hugging Face folder, or one `.safetensors` file.
  case safetensors
  /// The packed container, `Formats/container.md`.
  case rilq
  /// A GGUF file, `Formats/gguf.md`.
  case gguf
}

/// What a checkpoint holds, without the bytes.
public struct CheckpointContents: Sendable, Equatable {
  /// The tensors in the order of the file; names are unique.
  public var tensors: [TensorInfo]
  /// The quantized modules, by module name (`model.layers.0.mlp.up_proj`).
  public var quantization: [String: QuantizationParameters]
  /// What the adapter tensors mean, when there are some.
  public var adapter: AdapterParameters?
  /// The files that are not weights.
  public var assets: [Asset]
  /// What is recorded about the origin: an object.
  public var metadata: JSONValue
  /// What a user should know about how the file was read, one line each; no format stores it.
  ///
  /// Values that were rounded, and contradictions with how they were resolved.
  public var notices: [String] = []

  /// Describes a checkpoint.
  public init(
    tensors: [TensorInfo], quantization: [String: QuantizationParameters] = [:],
    adapter: AdapterParameters? = nil, assets: [Asset] = [], metadata: JSONValue = .object([])
  ) {
    self.tensors = tensors
    self.quantization = quantization
    self.adapter = adapter
    self.assets = assets
    self.metadata = metadata
  }
}

/// How the codes of a module are packed.
public struct QuantizationParameters: Sendable, Equatable {
  /// The width of a code: 2, 3, 4 or 8.
  public var bits: Int
  /// The columns that share a scale and a bias.
  public var groupSize: Int

  /// Describes a packing.
  public init(bits: Int, groupSize: Int) {
    self.bits = bits
    self.groupSize = groupSize
  }
}

/// What the `lora_A` and `lora_B` tensors of a checkpoint mean.
public struct AdapterParameters: Sendable, Equatable {
  /// What the adapter sees of its input.
  public enum Kind: String, Sendable, CaseIterable {
    /// A is `[rank, in]`, as in LoRA.
    case dense
    /// A is `[rank, in / groupSize]` over the mean of each group, as in QA-LoRA.
    case pooled
  }

  /// What A is applied to.
  public var kind: Kind
  /// The rows of A.
  public var rank: Int
  /// The update is `alpha / rank * B * A`.
  public var alpha: Double

  /// Describes an adapter.
  public init(kind: Kind, rank: Int, alpha: Double) {
    self.kind = kind
    self.rank = rank
    self.alpha = alpha
  }
}

/// A file that travels with the weights: configuration, tokenizer, licence.
public struct Asset: Sendable, Equatable {
  /// The path relative to the checkpoint, with `/`, inside it.
  public let name: String
  /// The size of its contents.
  public let byteCount: Int

  /// Describes a file.
  public init(name: String, byteCount: Int) {
    self.name = name
    self.byteCount = byteCount
  }
}

/// Where a checkpoint's bytes come from.
package protocol TensorStore: Sendable {
  /// The bytes of a tensor of this store.
  func bytes(of tensor: TensorInfo) throws -> TensorBytes
  /// The contents of an asset of this store.
  func bytes(of asset: Asset) throws -> TensorBytes
  /// The files of a folder that hold tensors; empty when the store is one file.
  var weightFileNames: [String] { get }
}

/// A store some of whose files that are not weights have other contents.
private struct StoreWithAssets: TensorStore {
  let base: any TensorStore
  let assets: [String: TensorBytes]

  func bytes(of tensor: TensorInfo) throws -> TensorBytes { try base.bytes(of: tensor) }

  func bytes(of asset: Asset) throws -> TensorBytes { try assets[asset.name] ?? base.bytes(of: asset) }

  var weightFileNames: [String] { base.weightFileNames }
}

/// A store whose tensors have other names.
private struct StoreWithOtherNames: TensorStore {
  let base: any TensorStore
  /// The tensors of the store by their new names.
  let originals: [String: TensorInfo]

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    try base.bytes(of: originals[tensor.name] ?? tensor)
  }

  func bytes(of asset: Asset) throws -> TensorBytes { try base.bytes(of: asset) }

  var weightFileNames: [String] { base.weightFileNames }
}

/// Writes a checkpoint whose contents were announced when the writer was made.
///
/// Every tensor is written once, whole, in the announced order, then every asset, then `finish` is called.
/// A writer works on a path that nobody else reads; publishing it is its owner's work.
package protocol CheckpointWriter: AnyObject {
  /// Writes the next tensor.
  func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws
  /// Writes the next asset.
  func write(_ asset: Asset, _ bytes: RawSpan) throws
  /// Completes and syncs the output.
  ///
  /// - Returns: The bytes written to disk, all files together.
  func finish() throws -> Int
}

/// A writer that records the origin behind everything else, so that it need not be known at the start.
package protocol MetadataLastWriter: CheckpointWriter {
  /// What is recorded about the origin: what was announced, until it is set.
  var metadata: JSONValue { get set }
}
