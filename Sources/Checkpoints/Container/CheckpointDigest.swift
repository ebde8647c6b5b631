internal import Kernels

/// The digests of a checkpoint: of each tensor and file, and of everything together.
///
/// They are those of a packed container, whatever the format of the checkpoint: see "Content digest" in
/// `Formats/container.md`.
package struct CheckpointDigest: Sendable {
  /// The tensors and the SHA-256 of their bytes, sorted by name.
  package let tensors: [(tensor: TensorInfo, digest: Digest256)]
  /// The files that are not weights and their SHA-256, sorted by name.
  package let assets: [(name: String, digest: Digest256)]
  /// The digest of tensors, quantization, adapter and files.
  package let content: Digest256
  /// The digest of tensors, quantization and adapter: the content digest without files.
  package let weights: Digest256

  private static let rankLimit = Int(UInt8.max)

  /// Reads everything, several tensors at once.
  ///
  /// - Parameter checkpoint: The checkpoint.
  /// - Throws: `FormatError` when something cannot be read, is damaged, or does not match the file's own
  ///   digest.
  package init(of checkpoint: Checkpoint) throws {
    let contents = checkpoint.contents
    try contents.validateQuantization(path: checkpoint.path)
    let infos = contents.tensors.sorted { precedes($0.name, $1.name) }
    for tensor in infos where tensor.shape.count > Self.rankLimit {
      throw FormatError(
        checkpoint.path, at: "tensor '\(tensor.name)'", .unsupportedKind("rank \(tensor.shape.count)"))
    }
    let digests = try parallelMap(infos.count) { i in
      try checkpoint.bytes(of: infos[i].name).withSpan { Digest256(hashing: $0) }
    }
    let names = contents.assets.map(\.name).sorted(by: precedes)
    let assetDigests = try parallelMap(names.count) { i in
      guard let bytes = try checkpoint.asset(named: names[i]) else {
        throw FormatError(checkpoint.path, .missing("file '\(names[i])'"))
      }
      return bytes.withSpan { Digest256(hashing: $0) }
    }
    tensors = Array(zip(infos, digests))
    assets = Array(zip(names, assetDigests))
    content = ContentDigest.of(tensors: tensors, assets: assets, contents.manifest)
    weights = ContentDigest.of(tensors: tensors, assets: [], contents.manifest)
    try check(statedBy: checkpoint)
  }

  /// Compares the digests with those that a container states.
  private func check(statedBy checkpoint: Checkpoint) throws {
    guard checkpoint.format == .rilq else { return }
    let file = try ContainerFile(path: checkpoint.path, access: .read)
    func check(_ computed: Digest256, _ stated: Digest256?, _ place: String) throws(FormatError) {
      guard let stated, stated != computed else { return }
      throw FormatError(
        checkpoint.path, at: place,
        .checksum(stored: stated.description, computed: computed.description))
    }
    for (tensor, digest) in tensors {
      try check(digest, file.digest(ofTensor: tensor.name), "tensor '\(tensor.name)'")
    }
    for (name, digest) in assets { try check(digest, file.digest(ofAsset: name), "asset '\(name)'") }
    try check(content, file.contentDigest, "content digest")
  }
}
