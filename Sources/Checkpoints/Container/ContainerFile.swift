internal import Kernels

/// A packed container that is open for reading, `Formats/container.md`.
///
/// Opening it checks header, trailer, table and manifest. Reading a section checks its blocks each time.
package final class ContainerFile: TensorStore {
  private let file: InputFile
  private let table: ContainerTable
  private let manifest: ContainerManifest

  /// The digest of the content, as the file states it.
  package var contentDigest: Digest256 { table.contentDigest }

  /// The positions of the tensors by name.
  fileprivate var tensorIndex: [String: Int] { table.tensorIndex }

  /// What the file holds.
  package var contents: CheckpointContents {
    let tensorCount = table.tensorIndex.count
    return CheckpointContents(
      tensors: table.sections[..<tensorCount].compactMap(\.subject.tensor),
      quantization: manifest.quantization, adapter: manifest.adapter,
      assets: table.sections[tensorCount...].compactMap(\.subject.asset), metadata: manifest.metadata)
  }

  /// Opens a container.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - access: Whether it is mapped or read.
  /// - Throws: `FormatError` when it cannot be read, is damaged or of an unknown kind.
  package convenience init(path: String, access: FileAccess = .mapped) throws {
    try self.init(InputFile(path: path, access: access))
  }

  /// Reads a container that is open or in memory.
  ///
  /// - Throws: `FormatError` when it is damaged or of an unknown kind.
  package init(_ file: InputFile) throws(FormatError) {
    self.file = file
    table = try ContainerTable(of: file)
    manifest = try Self.readManifest(file, table)
  }

  private static func readManifest(
    _ file: InputFile, _ table: ContainerTable
  ) throws(FormatError) -> ContainerManifest {
    // The table has exactly one manifest, its last section.
    guard let section = table.sections.last else { throw FormatError(file.path, .missing("the manifest")) }
    let bytes = try SectionDecoder(file: file, table: table).bytes(of: section)
    return try ContainerManifest(parsing: bytes.withSpan { $0.copiedBytes() }, path: file.path)
  }

  package var weightFileNames: [String] { [] }

  /// The bytes of a tensor, used in place when they are stored raw.
  package func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let section = table.section(ofTensor: tensor.name) else {
      throw FormatError(file.path, .missing("tensor '\(tensor.name)'"))
    }
    return try SectionDecoder(file: file, table: table).bytes(of: section)
  }

  /// The contents of an asset.
  package func bytes(of asset: Asset) throws -> TensorBytes {
    guard let section = table.section(ofAsset: asset.name) else {
      throw FormatError(file.path, .missing("asset '\(asset.name)'"))
    }
    return try SectionDecoder(file: file, table: table).bytes(of: section)
  }

  /// The stated SHA-256 of a tensor's bytes, or nil when there is none of that name.
  package func digest(ofTensor name: String) -> Digest256? { table.section(ofTensor: name)?.digest }

  /// The stated SHA-256 of an asset, or nil when there is none of that name.
  package func digest(ofAsset name: String) -> Digest256? { table.section(ofAsset: name)?.digest }

  /// Reads everything and checks every digest.
  ///
  /// - Throws: `FormatError` at the first section that is damaged or not what its digest says.
  package func verify() throws {
    let decoder = SectionDecoder(file: file, table: table)
    let sections = table.sections
    try parallel(chunks: sections.count) { i throws(FormatError) in
      var hasher = SHA256()
      try decoder.bytes(of: sections[i]).withSpan { hasher.update($0) }
      try check(hasher.finalize(), stored: sections[i].digest, at: sections[i].subject.place)
    }
    try check(ContentDigest.of(sections, manifest), stored: contentDigest, at: "content digest")
  }

  private func check(_ computed: Digest256, stored: Digest256, at place: String) throws(FormatError) {
    guard computed == stored else {
      throw FormatError(
        file.path, at: place, .checksum(stored: stored.description, computed: computed.description))
    }
  }
}

extension ContainerSubject {
  fileprivate var asset: Asset? {
    guard case .asset(let asset) = self else { return nil }
    return asset
  }
}

extension Checkpoint {
  /// Opens a packed container.
  ///
  /// - Parameters:
  ///   - path: A `.rilq` file.
  ///   - access: Whether it is mapped or read.
  /// - Returns: The checkpoint; its raw tensors are used in place when it is mapped.
  /// - Throws: `FormatError` when it cannot be read, is damaged or of an unknown kind.
  package static func openContainer(path: String, access: FileAccess = .mapped) throws -> Checkpoint {
    let file = try ContainerFile(path: path, access: access)
    return Checkpoint(
      path: path, format: .rilq, contents: file.contents, store: file, indexByName: file.tensorIndex)
  }

  /// Whether a path is a file that begins like a packed container, perhaps a damaged one.
  package static func isContainer(path: String) throws -> Bool {
    guard case .file(let byteCount) = try FileSystem.kind(of: path), byteCount >= 4 else { return false }
    return try InputFile(path: path, access: .read).withBytes(in: 0..<4) { bytes in
      (0..<4).allSatisfy { bytes.byte(at: $0) == ContainerFormat.magic[$0] }
    }
  }
}
