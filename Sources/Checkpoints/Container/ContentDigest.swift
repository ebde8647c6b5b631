/// The digest of a model's contents, independent of its metadata and of how it is stored.
///
/// The sequence of bytes is that of "Content digest" in `Formats/container.md`.
enum ContentDigest {
  /// The digest of sections and the parameters of their manifest.
  static func of(_ sections: [ContainerSection], _ manifest: ContainerManifest) -> Digest256 {
    let tensors = sections.compactMap { section in section.subject.tensor.map { ($0, section.digest) } }
    let assets = sections.filter { $0.subject.kind == .asset }.map { ($0.subject.name, $0.digest) }
    return of(tensors: tensors, assets: assets, manifest)
  }

  /// The digest of tensors, assets and parameters, given in any order.
  static func of(
    tensors: [(tensor: TensorInfo, digest: Digest256)], assets: [(name: String, digest: Digest256)],
    _ manifest: ContainerManifest
  ) -> Digest256 {
    var bytes = Array("rilq content 1\n".utf8)
    bytes.appendInteger(UInt32(tensors.count))
    for (tensor, digest) in tensors.sorted(by: { precedes($0.tensor.name, $1.tensor.name) }) {
      bytes.appendName(tensor.name)
      bytes.appendType(tensor)
      bytes += digest.bytes
    }
    bytes.appendInteger(UInt32(assets.count))
    for (name, digest) in assets.sorted(by: { precedes($0.name, $1.name) }) {
      bytes.appendName(name)
      bytes += digest.bytes
    }
    var hasher = SHA256()
    hasher.update(bytes)
    hasher.update(parameterBytes(manifest))
    return hasher.finalize()
  }

  private static func parameterBytes(_ manifest: ContainerManifest) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendInteger(UInt32(manifest.quantization.count))
    let modules = manifest.quantization.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    for (name, parameters) in modules {
      bytes.appendName(name)
      bytes.appendInteger(UInt32(parameters.bits))
      bytes.appendInteger(UInt64(parameters.groupSize))
      if let grid = parameters.gridName { bytes.appendName(grid) }
    }
    guard let adapter = manifest.adapter else { return bytes + [0] }
    bytes.append(adapter.kind == .dense ? 1 : 2)
    bytes.appendInteger(UInt64(adapter.rank))
    bytes.appendInteger(adapter.alpha.bitPattern)
    return bytes
  }
}

extension [UInt8] {
  fileprivate mutating func appendName(_ name: String) {
    appendInteger(UInt32(name.utf8.count))
    append(contentsOf: name.utf8)
  }

  fileprivate mutating func appendType(_ tensor: TensorInfo) {
    append(tensor.dtype.containerCode)
    append(UInt8(tensor.shape.count))
    for dimension in tensor.shape { appendInteger(UInt64(dimension)) }
  }
}
