import Checkpoints
import Crypto
import Foundation
import Kernels

/// Where an output comes from: the recipe with every option written out, and digests of what it was made from.
struct Origin {
  private let entry: JSONValue

  /// Reads the input's files for their digests.
  init(recipe: Recipe, input: Checkpoint, version: String, access: FileAccess) throws {
    let files = try input.files
    let digests = try parallelMap(files.count) { try Self.sha256(of: files[$0].path, access) }
    let inputs = zip(files, digests).map { file, digest in
      JSONValue.object([
        JSONValue.Member("file", .string(file.name)), JSONValue.Member("sha256", .string(digest)),
      ])
    }
    entry = .object([
      JSONValue.Member("rilq_version", .string(version)),
      JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member("inputs", .array(inputs)),
    ])
  }

  /// Metadata with this origin behind those that are recorded already.
  func added(to metadata: JSONValue) -> JSONValue {
    var metadata = metadata
    metadata.set("history", to: .array((metadata["history"]?.array ?? []) + [entry]))
    return metadata
  }

  /// The bytes of a file that are looked at at once, so that memory does not grow with the file.
  private static let pieceByteCount = 4 << 20

  private static func sha256(of path: String, _ access: FileAccess) throws -> String {
    let file = try InputFile(path: path, access: access)
    var hash = SHA256()
    for start in stride(from: 0, to: file.byteCount, by: pieceByteCount) {
      try file.withBytes(in: start..<min(start + pieceByteCount, file.byteCount)) { bytes in
        unsafe bytes.withUnsafeBytes { unsafe hash.update(bufferPointer: $0) }
      }
    }
    return hash.finalize().map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }
      .joined()
  }
}
