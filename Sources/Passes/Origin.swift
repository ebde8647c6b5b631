import Checkpoints
import Foundation
import Kernels

/// Where an output comes from: the recipe with every option written out, and digests of what it was made from.
struct Origin {
  private let recipe: Recipe
  private let version: String
  private let digests: ConcurrentWork<(inputs: JSONValue, adapters: JSONValue?)>

  /// Begins to read the files of the input and of the recipe's adapters for their digests, beside the passes.
  ///
  /// Pieces are read into memory whatever the access to tensors: mapping a file once more costs more than copying it.
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

  /// Metadata with this origin behind those that are recorded already; waits for the digests.
  ///
  /// - Throws: `FormatError` when an input could not be read.
  func added(to metadata: JSONValue) throws -> JSONValue {
    let digests = try digests.value()
    var members = [
      JSONValue.Member("rilq_version", .string(version)), JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member("inputs", digests.inputs),
    ]
    if let adapters = digests.adapters { members.append(.init("adapters", adapters)) }
    let entry = JSONValue.object(members)
    var metadata = metadata
    metadata.set("history", to: .array((metadata["history"]?.array ?? []) + [entry]))
    return metadata
  }
}
