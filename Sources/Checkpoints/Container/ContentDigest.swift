internal import Crypto

/// The digest of what a model is, whatever its metadata and however it is stored.
///
/// The sequence of bytes is that of "Content digest" in `Formats/container.md`.
enum ContentDigest {
  /// The digest of sections and the parameters of their manifest.
  static func of(_ sections: [ContainerSection], _ manifest: ContainerManifest) -> Digest256 {
    var hasher = SHA256()
    hasher.update(data: Array("rilq content 1\n".utf8))
    for kind in [ContainerSubject.Kind.tensor, .asset] {
      let chosen = sorted(sections.filter { $0.subject.kind == kind })
      var bytes: [UInt8] = []
      bytes.appendInteger(UInt32(chosen.count))
      for section in chosen {
        bytes.appendName(section.subject.name)
        if let tensor = section.subject.tensor { bytes.appendType(tensor) }
        bytes += section.digest.bytes
      }
      hasher.update(data: bytes)
    }
    hasher.update(data: parameterBytes(manifest))
    return Digest256(hasher)
  }

  private static func sorted(_ sections: [ContainerSection]) -> [ContainerSection] {
    sections.sorted { $0.subject.name.utf8.lexicographicallyPrecedes($1.subject.name.utf8) }
  }

  private static func parameterBytes(_ manifest: ContainerManifest) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendInteger(UInt32(manifest.quantization.count))
    let modules = manifest.quantization.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    for (name, parameters) in modules {
      bytes.appendName(name)
      bytes.appendInteger(UInt32(parameters.bits))
      bytes.appendInteger(UInt64(parameters.groupSize))
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
