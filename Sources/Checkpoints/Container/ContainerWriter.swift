internal import Kernels

/// Writes a packed container front to back, `Formats/container.md`.
public final class ContainerWriter: MetadataLastWriter {
  private var contents: CheckpointContents
  private let path: String
  private let encoder: SectionEncoder
  private let file: OutputFile
  private var sections: [ContainerSection] = []
  private var blocks: [ContainerBlock] = []
  /// Where the next byte goes, from the start of the file.
  private var end = 0
  /// The digest of the content; nil until `finish` has returned.
  package private(set) var contentDigest: Digest256?
  package var metadata: JSONValue {
    get { contents.metadata }
    set { contents.metadata = newValue }
  }

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - contents: What will be written, in its order.
  ///   - path: A file that nobody else reads; it is emptied.
  ///   - options: How sections are stored.
  /// - Throws: `FormatError` when the contents or the options break a limit of the format, or the file
  ///   cannot be created.
  public init(_ contents: CheckpointContents, path: String, options: ContainerOptions = .init()) throws {
    try options.validate(path: path)
    try contents.validateForContainer(path: path)
    // Anything that cannot be written is refused before the file is begun.
    _ = try contents.manifestText(path: path)
    self.contents = contents
    self.path = path
    encoder = SectionEncoder(options: options)
    file = try OutputFile(creating: path)
    try append(ContainerHeader.bytes)
  }

  /// Writes the next tensor.
  public func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws {
    requireNext(tensor, at: sections.count)
    try writeSection(.tensor(tensor), bytes)
  }

  /// Writes the next tensors; small ones in a row are encoded at the same time.
  package func write(_ tensors: [(tensor: TensorInfo, bytes: TensorBytes)]) throws {
    var rest = tensors[...]
    while let next = rest.first {
      let small = rest.prefix { encoder.isSmall(.tensor($0.tensor)) }
      if small.isEmpty {
        try next.bytes.withSpan { try write(next.tensor, $0) }
        rest.removeFirst()
      } else {
        try writeTogether(Array(small))
        rest.removeFirst(small.count)
      }
    }
  }

  private func requireNext(_ tensor: TensorInfo, at index: Int) {
    precondition(index < contents.tensors.count, "tensor '\(tensor.name)' was not announced")
    let announced = contents.tensors[index]
    precondition(tensor == announced, "tensor '\(announced.name)' comes before '\(tensor.name)'")
  }

  /// Writes the next asset.
  public func write(_ asset: Asset, _ bytes: RawSpan) throws {
    let index = sections.count - contents.tensors.count
    precondition(contents.assets.indices.contains(index), "asset '\(asset.name)' is not expected here")
    let announced = contents.assets[index]
    precondition(asset == announced, "asset '\(announced.name)' comes before '\(asset.name)'")
    try writeSection(.asset(asset), bytes)
  }

  /// Writes manifest, table and trailer, and syncs the file.
  ///
  /// - Returns: The size of the file.
  public func finish() throws -> Int {
    let announced = contents.tensors.count + contents.assets.count
    precondition(sections.count == announced, "\(sections.count) of \(announced) sections are written")
    let manifest = Array(try contents.manifestText(path: path).utf8)
    try writeSection(.manifest(byteCount: manifest.count), unsafe manifest.span.bytes)
    let digest = ContentDigest.of(sections, contents.manifest)
    try writeTable(digest)
    try file.sync()
    contentDigest = digest
    return end
  }

  private func writeSection(_ subject: ContainerSubject, _ bytes: RawSpan) throws {
    requireSize(subject, bytes.byteCount)
    try align()
    add(subject, try encoder.write(subject, bytes, to: file, at: end))
  }

  /// Encodes small tensors in parallel, and writes them when all sizes, and so all places, are known.
  private func writeTogether(_ tensors: [(tensor: TensorInfo, bytes: TensorBytes)]) throws {
    for (i, (tensor, bytes)) in tensors.enumerated() {
      requireNext(tensor, at: sections.count + i)
      requireSize(.tensor(tensor), bytes.count)
    }
    let encoded = parallelMap(tensors.count) { [encoder] i in
      tensors[i].bytes.withSpan { encoder.encode(.tensor(tensors[i].tensor), $0) }
    }
    let first = sections.count
    for (i, whole) in encoded.enumerated() {
      try align()
      add(.tensor(tensors[i].tensor), whole.encoded)
    }
    let offsets = sections[first...].map(\.byteOffset)
    try Self.write(encoded, of: tensors, at: offsets, to: file)
  }

  private static func write(
    _ encoded: [SectionEncoder.Whole], of tensors: [(tensor: TensorInfo, bytes: TensorBytes)],
    at offsets: [Int], to file: borrowing OutputFile
  ) throws {
    try parallel(chunks: encoded.count) { i in
      guard let blocks = encoded[i].compressed else {
        return try tensors[i].bytes.withSpan { try file.write($0, at: offsets[i]) }
      }
      var end = offsets[i]
      for block in blocks {
        try file.write(unsafe block.span.bytes, at: end)
        end += block.count
      }
    }
  }

  private func requireSize(_ subject: ContainerSubject, _ byteCount: Int) {
    precondition(
      byteCount == subject.byteCount, "\(subject.place) has \(subject.byteCount) bytes, got \(byteCount)")
  }

  /// Records a section that begins at `end`.
  private func add(_ subject: ContainerSubject, _ encoded: SectionEncoder.Encoded) {
    let firstBlock = blocks.count
    blocks += encoded.blocks
    sections.append(
      ContainerSection(
        subject: subject, encoding: encoded.encoding, byteOffset: end, blocks: firstBlock..<blocks.count,
        digest: encoded.digest))
    end += encoded.blocks.reduce(0) { $0 + Int($1.storedByteCount) }
  }

  private func writeTable(_ digest: Digest256) throws {
    try align()
    let start = end
    var table: [UInt8] = []
    for section in sections { table += section.record(blocks) }
    try append(table)
    let trailer = ContainerTrailer(
      tableOffset: start, tableByteCount: table.count,
      fileByteCount: end + ContainerFormat.trailerByteCount, sectionCount: sections.count,
      tableChecksum: Checksum.crc32(table), contentDigest: digest)
    try append(trailer.bytes)
  }

  private func align() throws {
    let rest = end % ContainerFormat.alignment
    if rest > 0 { try append([UInt8](repeating: 0, count: ContainerFormat.alignment - rest)) }
  }

  private func append(_ bytes: [UInt8]) throws {
    try file.write(unsafe bytes.span.bytes, at: end)
    end += bytes.count
  }
}

extension CheckpointContents {
  /// The manifest of a container with these contents.
  var manifest: ContainerManifest {
    ContainerManifest(quantization: quantization, adapter: adapter, metadata: metadata)
  }

  /// The text of the manifest, checked to be readable.
  fileprivate func manifestText(path: String) throws(FormatError) -> String {
    let text = manifest.text
    guard text.utf8.count <= ContainerFormat.manifestByteLimit else {
      throw FormatError(path, at: "manifest", .unsupported("has \(text.utf8.count) bytes, more than 64 MiB"))
    }
    _ = try ContainerManifest(parsing: Array(text.utf8), path: path)
    return text
  }

  /// Checks the limits of the format.
  fileprivate func validateForContainer(path: String) throws(FormatError) {
    guard tensors.count + assets.count < ContainerFormat.sectionLimit else {
      throw FormatError(
        path, .unsupported("has \(tensors.count) tensors and \(assets.count) assets, too many for the table"))
    }
    for tensor in tensors where tensor.shape.count > ContainerFormat.rankLimit {
      throw FormatError(path, at: "tensor '\(tensor.name)'", .unsupportedKind("rank \(tensor.shape.count)"))
    }
    for asset in assets where !asset.hasSafeName {
      throw FormatError(
        path, at: "asset '\(asset.name)'", .unsupported("the name is not a path inside a folder"))
    }
    if let (name, outer) = Asset.firstNested(Set(assets.map(\.name))) {
      throw FormatError(path, at: "asset '\(name)'", .malformed("is inside asset '\(outer)'"))
    }
    try Self.validateNames(tensors.map(\.name), of: "tensor", path: path)
    try Self.validateNames(assets.map(\.name), of: "asset", path: path)
  }

  private static func validateNames(_ names: [String], of kind: String, path: String) throws(FormatError) {
    var seen: Set<String> = []
    for name in names {
      guard name.utf8.count <= ContainerFormat.nameByteLimit else {
        throw FormatError(path, .unsupportedKind("a name of \(name.utf8.count) bytes"))
      }
      guard seen.insert(name).inserted else {
        throw FormatError(path, at: "\(kind) '\(name)'", .malformed("there are two of this name"))
      }
    }
  }
}
