import Checkpoints
import Crypto
import Foundation
import Kernels

/// Where an output comes from: the recipe with every option written out, and digests of what it was made from.
struct Origin {
  private let recipe: Recipe
  private let version: String
  private let inputs: ConcurrentWork<[JSONValue]>

  /// Begins to read the input's files for their digests, beside the passes.
  init(recipe: Recipe, input: Checkpoint, version: String) throws {
    let files = try input.files
    self.recipe = recipe
    self.version = version
    inputs = ConcurrentWork {
      try files.map { file in
        JSONValue.object([
          JSONValue.Member("file", .string(file.name)),
          JSONValue.Member("sha256", .string(try Self.sha256(of: file.path))),
        ])
      }
    }
  }

  /// Metadata with this origin behind those that are recorded already; waits for the digests.
  ///
  /// - Throws: `FormatError` when an input could not be read.
  func added(to metadata: JSONValue) throws -> JSONValue {
    let entry = JSONValue.object([
      JSONValue.Member("rilq_version", .string(version)),
      JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member("inputs", .array(try inputs.value())),
    ])
    var metadata = metadata
    metadata.set("history", to: .array((metadata["history"]?.array ?? []) + [entry]))
    return metadata
  }

  /// Reads a file piece by piece: mapping it once more would cost more than copying it.
  private static func sha256(of path: String) throws -> String {
    var hash = SHA256()
    do {
      let file = try FileHandle(forReadingFrom: URL(filePath: path))
      while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty { hash.update(data: piece) }
    } catch {
      throw FormatError(path, .system("cannot be read"))
    }
    return hash.finalize().map { byte in
      String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }.joined()
  }
}
