package import Checkpoints

/// The differences between a copy of a checkpoint and the original.
package struct FolderChanges: Sendable {
  /// Gives each tensor its name in the copy, or nil to leave it out.
  package var rename: @Sendable (String) -> String? = { $0 }
  /// Tensors to append, with their bytes.
  package var added: [(TensorInfo, [UInt8])] = []
  /// The keys of `config.json` to set.
  package var configuration: [String: JSONValue] = [:]
}

extension Checkpoint {
  /// Writes a folder with the same contents except for some changes.
  ///
  /// - Parameters:
  ///   - path: The folder to make.
  ///   - change: Sets the differences.
  /// - Returns: The copy, open.
  /// - Throws: `FormatError` when it cannot be written.
  @discardableResult
  package func writeFolder(
    to path: String, changing change: (inout FolderChanges) -> Void = { _ in }
  ) throws -> Checkpoint {
    var changes = FolderChanges()
    change(&changes)
    var contents = contents
    let kept = contents.tensors.compactMap { tensor in
      changes.rename(tensor.name).map {
        (old: tensor, new: TensorInfo(name: $0, dtype: tensor.dtype, shape: tensor.shape))
      }
    }
    contents.tensors = kept.map(\.new) + changes.added.map(\.0)
    var files: [(String, [UInt8])] = []
    for asset in contents.assets {
      guard let bytes = try copiedAsset(named: asset.name) else { continue }
      guard asset.name == "config.json" else {
        files.append((asset.name, bytes))
        continue
      }
      var json = try JSONValue(parsing: bytes)
      for (key, value) in changes.configuration { json.set(key, to: value) }
      files.append((asset.name, Array(json.prettyText.utf8)))
    }
    contents.assets = files.map { Asset(name: $0, byteCount: $1.count) }
    let writer = try SafetensorsFolderWriter(contents, folder: path)
    for (old, new) in kept { try bytes(of: old.name).withSpan { try writer.write(new, $0) } }
    for (tensor, bytes) in changes.added { try TensorBytes(bytes).withSpan { try writer.write(tensor, $0) } }
    for (asset, file) in zip(contents.assets, files) {
      try TensorBytes(file.1).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: path)
  }
}

extension FolderChanges {
  /// Sets `tie_word_embeddings`, beside an optional head with the embedding's values or its own.
  package mutating func tieEmbeddings(beside head: [UInt8]? = nil, like embedding: TensorInfo? = nil) {
    configuration["tie_word_embeddings"] = .bool(true)
    guard let head, let embedding else { return }
    let earlier = rename
    rename = { $0 == "lm_head.weight" ? nil : earlier($0) }
    added.append((TensorInfo(name: "lm_head.weight", dtype: embedding.dtype, shape: embedding.shape), head))
  }
}
