package import Checkpoints

/// The SHA-256 of each file of a folder, in the form that `sha256sum --check` reads.
package struct FileManifest: Sendable {
  /// How a file differs from the manifest.
  package enum Difference: String, Sendable {
    /// The contents are others.
    case changed
    /// The file is not there.
    case missing
    /// The manifest does not have the file.
    case new
  }

  /// A file and its digest.
  package struct Entry: Sendable, Equatable {
    /// The path relative to the folder.
    package let name: String
    /// The SHA-256 of its contents.
    package let digest: Digest256
  }

  private static let firstLine = "# rilq manifest 1"
  private static let byteLimit = 16 << 20

  /// The files, sorted by name.
  package let entries: [Entry]
  /// The digests of the checkpoint, which are no lines of files.
  private let digests: [(name: String, digest: Digest256)]

  /// Computes the digests of a folder's files that are not hidden, or of one file.
  ///
  /// - Parameters:
  ///   - path: The folder or the file.
  ///   - manifest: The path of the manifest, which is left out; it need not exist.
  ///   - checkpoint: The digests of the checkpoint, recorded as remarks.
  /// - Throws: `FormatError` when a file cannot be read, or has a name that no line can hold.
  package init(of path: String, except manifest: String, _ checkpoint: CheckpointDigest? = nil) throws {
    let isFolder = try FileSystem.kind(of: path) == .folder
    let names =
      isFolder
      ? try FileSystem.files(below: path) : [path.split(separator: "/").last.map(String.init) ?? path]
    let own = FileSystem.resolvedPath(manifest)
    entries = try names.sorted(by: precedes).compactMap { name in
      let file = isFolder ? FileSystem.join(path, name) : path
      guard own == nil || FileSystem.resolvedPath(file) != own else { return nil }
      guard !name.unicodeScalars.contains(where: { $0.value < 0x20 || $0 == "\\" }) else {
        throw FormatError(file, .unsupported("has a name that a manifest cannot hold"))
      }
      return Entry(name: name, digest: try Digest256(ofFile: file))
    }
    digests = checkpoint.map { [("content", $0.content), ("weights", $0.weights)] } ?? []
  }

  /// Reads a manifest.
  ///
  /// - Parameter path: The file; lines that begin with `#` are remarks.
  /// - Throws: `FormatError` with the line that is no digest and name, or repeats a name.
  package init(contentsOf path: String) throws {
    guard try FileSystem.requireRegularFile(path) <= Self.byteLimit else {
      throw FormatError(path, .unsupported("is larger than \(Self.byteLimit) bytes"))
    }
    let lines = try InputFile.contents(of: path).split(separator: UInt8(ascii: "\n"))
    var entries: [Entry] = []
    var names: Set<String> = []
    for (index, bytes) in lines.enumerated() where bytes.first != UInt8(ascii: "#") {
      guard let line = String(validating: bytes, as: UTF8.self), let entry = Entry(line: line) else {
        throw FormatError(path, at: "line \(index + 1)", .malformed("is no SHA-256, two spaces and a name"))
      }
      guard names.insert(entry.name).inserted else {
        throw FormatError(path, at: "line \(index + 1)", .malformed("repeats the name '\(entry.name)'"))
      }
      entries.append(entry)
    }
    guard !entries.isEmpty else { throw FormatError(path, .missing("a line with a file")) }
    self.entries = entries
    digests = []
  }

  /// The text of the manifest.
  package var text: String {
    let remarks = [Self.firstLine] + digests.map { "# \($0.name) \($0.digest)" }
    return (remarks + entries.map { "\($0.digest)  \($0.name)" }).joined(separator: "\n") + "\n"
  }

  /// Compares files with this manifest.
  ///
  /// - Parameter current: The digests of the files as they are.
  /// - Returns: The files that differ, by name; empty when all are equal.
  package func differences(from current: FileManifest) -> [(name: String, difference: Difference)] {
    let expected = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.digest) })
    let found = Dictionary(uniqueKeysWithValues: current.entries.map { ($0.name, $0.digest) })
    return Set(expected.keys).union(found.keys).sorted(by: precedes).compactMap { name in
      switch (expected[name], found[name]) {
      case (let a?, let b?): a == b ? nil : (name, .changed)
      case (_?, nil): (name, .missing)
      case (nil, _): (name, .new)
      }
    }
  }
}

extension FileManifest.Entry {
  /// Reads a line of a digest, two spaces (or a space and a star, for binary files) and a name.
  fileprivate init?(line: String) {
    let line = line.hasSuffix("\r") ? String(line.dropLast()) : line
    guard let digest = Digest256(String(line.prefix(64))) else { return nil }
    let rest = line.dropFirst(64)
    guard rest.hasPrefix("  ") || rest.hasPrefix(" *") else { return nil }
    let name = String(rest.dropFirst(2))
    guard !name.isEmpty else { return nil }
    self.init(name: name, digest: digest)
  }
}
