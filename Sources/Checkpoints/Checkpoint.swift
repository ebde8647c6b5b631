/// A checkpoint on disk: a description of its contents, and each tensor's bytes on demand.
///
/// Describing it reads headers only. The tensors of a quantized module are those of its `QuantizedLayout`. An
/// adapter is `m.lora_A.weight` and `m.lora_B.weight`, trained changes of the tables are `m.scales_delta` and
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

  /// Joins a description with the source of the bytes.
  ///
  /// - Parameters:
  ///   - path: The folder or file.
  ///   - format: What kind of file or folder it is.
  ///   - contents: What it holds.
  ///   - store: The source of the bytes.
  ///   - indexByName: The positions of the tensors by name, if the reader has them already.
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

  /// How the file really stores a tensor of this checkpoint, or nil when it stores it as described.
  package func storedForm(of tensor: TensorInfo) -> StoredForm? { store.storedForm(of: tensor) }

  /// The same bytes with another description or other files, for planning steps that have not run.
  ///
  /// - Parameters:
  ///   - contents: The new description.
  ///   - assets: The files other than weights that get new contents, by name.
  /// - Returns: A copy of this checkpoint with these changes.
  package func replacing(
    contents: CheckpointContents, assets: [String: TensorBytes] = [:]
  ) -> Checkpoint {
    Checkpoint(
      path: path, format: format, contents: contents,
      store: assets.isEmpty ? store : StoreWithAssets(base: store, assets: assets))
  }

  /// The same checkpoint with other names for tensors and modules.
  ///
  /// - Parameter rename: Gives the new name; no two names may become equal.
  /// - Returns: A copy of this checkpoint with these changes.
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

  /// The same checkpoint with a second name for the tensors of a module.
  ///
  /// - Parameters:
  ///   - module: A module of the checkpoint.
  ///   - copy: The name of a module that it lacks.
  /// - Returns: A copy of this checkpoint with tensors for both names.
  package func repeating(_ module: String, as copy: String) -> Checkpoint {
    var contents = contents
    var originals: [String: TensorInfo] = [:]
    for tensor in self.contents.tensors where ModuleTensor.split(tensor.name)?.module == module {
      let name = copy + tensor.name.dropFirst(module.count)
      contents.tensors.append(TensorInfo(name: name, dtype: tensor.dtype, shape: tensor.shape))
      originals[name] = tensor
    }
    contents.quantization[copy] = contents.quantization[module]
    return Checkpoint(
      path: path, format: format, contents: contents,
      store: StoreWithOtherNames(base: store, originals: originals))
  }

  /// The same checkpoint with tensors that are made from others.
  ///
  /// - Parameters:
  ///   - contents: The new description.
  ///   - derived: How tensors of the description are made from those of this checkpoint, by name; the others
  ///     are as in this checkpoint.
  /// - Returns: A copy of this checkpoint with these changes.
  package func deriving(_ contents: CheckpointContents, from derived: [String: DerivedTensor]) -> Checkpoint {
    Checkpoint(
      path: path, format: format, contents: contents,
      store: StoreWithDerivedTensors(base: store, derived: derived))
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
  public var quantization: [String: QuantizedLayout]
  /// What the adapter tensors mean, if there are any.
  public var adapter: AdapterParameters?
  /// The files that are not weights.
  public var assets: [Asset]
  /// The recorded origin: an object.
  public var metadata: JSONValue
  /// Notices for the user about how the file was read, one line each; no format stores them.
  ///
  /// They tell of rounded values, and of contradictions and how they were resolved.
  public var notices: [String] = []

  /// Describes a checkpoint.
  public init(
    tensors: [TensorInfo], quantization: [String: QuantizedLayout] = [:],
    adapter: AdapterParameters? = nil, assets: [Asset] = [], metadata: JSONValue = .object([])
  ) {
    self.tensors = tensors
    self.quantization = quantization
    self.adapter = adapter
    self.assets = assets
    self.metadata = metadata
  }
}

/// What the `lora_A` and `lora_B` tensors of a checkpoint mean.
public struct AdapterParameters: Sendable, Equatable {
  /// How the adapter uses its input.
  public enum Kind: String, Sendable, CaseIterable {
    /// A is `[rank, in]`, as in LoRA.
    case dense
    /// A is `[rank, in / groupSize]` over the mean of each group, as in QA-LoRA.
    case pooled
  }

  /// The input that A is applied to.
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

/// The source of a checkpoint's bytes.
package protocol TensorStore: Sendable {
  /// The bytes of a tensor of this store.
  func bytes(of tensor: TensorInfo) throws -> TensorBytes
  /// Some elements of a tensor of this store, where that is less work than all of them.
  ///
  /// - Parameters:
  ///   - tensor: The tensor, whose elements are whole bytes.
  ///   - elements: The elements that are needed.
  /// - Returns: At least these elements, and the index of the first; nil when all are read together.
  /// - Throws: `FormatError` when the bytes are damaged.
  func part(
    of tensor: TensorInfo, _ elements: Range<Int>
  ) throws -> (start: Int, bytes: TensorBytes)?
  /// The contents of an asset of this store.
  func bytes(of asset: Asset) throws -> TensorBytes
  /// The files of a folder that hold tensors; empty when the store is one file.
  var weightFileNames: [String] { get }
  /// How the file really stores a tensor, or nil when it stores it as described.
  func storedForm(of tensor: TensorInfo) -> StoredForm?
}

extension TensorStore {
  package func part(
    of tensor: TensorInfo, _ elements: Range<Int>
  ) throws -> (start: Int, bytes: TensorBytes)? { nil }

  package func storedForm(of tensor: TensorInfo) -> StoredForm? { nil }
}

/// How a file stores a tensor that is translated when it is read.
package struct StoredForm: Sendable, Equatable {
  /// The type's name in the file's format: `Q4_1`.
  package let type: String
  /// The bytes that the tensor takes; codes and tables that share blocks each count their own.
  package let byteCount: Int
}

/// A store with other contents for some files that are not weights.
struct StoreWithAssets: TensorStore {
  let base: any TensorStore
  let assets: [String: TensorBytes]

  func bytes(of tensor: TensorInfo) throws -> TensorBytes { try base.bytes(of: tensor) }

  func part(
    of tensor: TensorInfo, _ elements: Range<Int>
  ) throws -> (start: Int, bytes: TensorBytes)? { try base.part(of: tensor, elements) }

  func bytes(of asset: Asset) throws -> TensorBytes { try assets[asset.name] ?? base.bytes(of: asset) }

  func storedForm(of tensor: TensorInfo) -> StoredForm? { base.storedForm(of: tensor) }

  var weightFileNames: [String] { base.weightFileNames }
}

/// A store with other names for its tensors.
private struct StoreWithOtherNames: TensorStore {
  let base: any TensorStore
  /// The tensors of the store by their new names.
  let originals: [String: TensorInfo]

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    try base.bytes(of: originals[tensor.name] ?? tensor)
  }

  func part(
    of tensor: TensorInfo, _ elements: Range<Int>
  ) throws -> (start: Int, bytes: TensorBytes)? {
    try base.part(of: originals[tensor.name] ?? tensor, elements)
  }

  func bytes(of asset: Asset) throws -> TensorBytes { try base.bytes(of: asset) }

  var weightFileNames: [String] { base.weightFileNames }
}

/// Writes a checkpoint whose contents were announced when the writer was made.
///
/// Write every tensor once, whole, in the announced order, then every asset, then call `finish`. A writer
/// works on a path that nobody else reads; its owner publishes the result.
package protocol CheckpointWriter: AnyObject {
  /// Writes the next tensor.
  func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws
  /// Writes the next tensors, in this order.
  func write(_ tensors: [(tensor: TensorInfo, bytes: TensorBytes)]) throws
  /// Writes the next asset.
  func write(_ asset: Asset, _ bytes: RawSpan) throws
  /// Completes and syncs the output.
  ///
  /// - Returns: The bytes written to disk, all files together.
  func finish() throws -> Int
}

extension CheckpointWriter {
  package func write(_ tensors: [(tensor: TensorInfo, bytes: TensorBytes)]) throws {
    for (tensor, bytes) in tensors { try bytes.withSpan { try write(tensor, $0) } }
  }
}

/// A writer that records the origin after everything else, so that it need not be known at the start.
package protocol MetadataLastWriter: CheckpointWriter {
  /// The recorded origin; the announced one until it is set.
  var metadata: JSONValue { get set }
}
