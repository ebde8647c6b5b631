import Checkpoints
import Foundation
import Kernels

/// The origin of an output: the recipe with every option, and digests of the files it was made from.
struct Origin {
  private let recipe: Recipe
  private let version: String
  private let digests: ConcurrentWork<(inputs: JSONValue, adapters: JSONValue?)>

  /// Starts to compute the digests of the input's and the adapters' files, in parallel with the passes.
  ///
  /// Pieces are read into memory even where tensors are mapped: mapping a file again costs more than copying
  /// it.
  init(recipe: Recipe, input: Checkpoint, version: String) throws {
    let inputs = try input.files
    let adapters = try recipe.adapterPaths.flatMap { try PeftAdapter.open($0).files }
    self.recipe = recipe
    self.version = version
    digests = ConcurrentWork {
      (try Self.digests(inputs), adapters.isEmpty ? nil : try Self.digests(adapters))
    }
  }

  private static func digests(_ files: [(name: String, path: String)]) throws -> JSONValue {
    .array(
      try files.map { file in
        .object([
          JSONValue.Member("file", .string(file.name)),
          JSONValue.Member("sha256", .string(try Digest256(ofFile: file.path).description)),
        ])
      })
  }

  /// Appends this origin to the ones already recorded in metadata; waits for the digests.
  ///
  /// - Throws: `FormatError` when an input could not be read.
  func added(to metadata: JSONValue) throws -> JSONValue {
    var metadata = metadata
    metadata.set("history", to: .array((metadata["history"]?.array ?? []) + [try entry()]))
    return metadata
  }

  /// Returns this origin: version, recipe, and the digests, which it waits for.
  ///
  /// - Throws: `FormatError` when an input could not be read.
  func entry() throws -> JSONValue {
    let digests = try digests.value()
    var members = [
      JSONValue.Member("rilq_version", .string(version)), JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member("inputs", digests.inputs),
    ]
    if let adapters = digests.adapters { members.append(.init("adapters", adapters)) }
    return .object(members)
  }
}
