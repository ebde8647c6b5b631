import Checkpoints
import Crypto
import Foundation
import Kernels

/// Where an output comes from: the recipe with every option written out, and digests of what it was made from.
struct Origin {
  private let entry: JSONValue

  /// Reads the input's files for their digests.
  init(recipe: Recipe, input: Checkpoint, version: String) throws {
    var members = [
      JSONValue.Member("rilq_version", .string(version)),
      JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member("inputs", try Self.digests(input.files)),
    ]
    let adapters = try recipe.adapterPaths.flatMap { try PeftAdapter.open($0).files }
    if !adapters.isEmpty { members.append(.init("adapters", try Self.digests(adapters))) }
    entry = .object(members)
  }

  private static func digests(_ files: [(name: String, path: String)]) throws -> JSONValue {
    let digests = try parallelMap(files.count) { try sha256(of: files[$0].path) }
    return .array(
      zip(files, digests).map { file, digest in
        .object([JSONValue.Member("file", .string(file.name)), JSONValue.Member("sha256", .string(digest))])
      })
  }

  /// Metadata with this origin behind those that are recorded already.
  func added(to metadata: JSONValue) -> JSONValue {
    var metadata = metadata
    metadata.set("history", to: .array((metadata["history"]?.array ?? []) + [entry]))
    return metadata
  }

  private static func sha256(of path: String) throws -> String {
    let file = try MappedFile(path: path)
    let digest = file.withBytes(in: 0..<file.byteCount) { bytes in
      var hash = SHA256()
      unsafe bytes.withUnsafeBytes { unsafe hash.update(bufferPointer: $0) }
      return hash.finalize()
    }
    return digest.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
  }
}
