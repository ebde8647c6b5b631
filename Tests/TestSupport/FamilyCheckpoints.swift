package import Checkpoints
import Foundation

/// Tiny checkpoints of every family with results of transformers, which are too large for the repository.
package enum FamilyCheckpoints {
  /// Their folder: that of `RILQ_FAMILIES`, or `families` beside the repository in `shared`.
  package static let root =
    ProcessInfo.processInfo.environment["RILQ_FAMILIES"] ?? Fixtures.root + "/../shared/families"

  /// The names of the checkpoints; empty if the folder is not there.
  package static let names: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: root + "/checkpoints")) ?? []).sorted()

  /// The path of a checkpoint.
  package static func path(_ name: String) -> String { "\(root)/checkpoints/\(name)" }

  /// The results of a checkpoint as JSON.
  package static func golden(_ name: String) throws -> JSONValue {
    try JSONValue(contentsOf: "\(root)/golden/\(name).json")
  }

  /// The tensors of a checkpoint's results.
  package static func tensors(_ name: String) throws -> Checkpoint {
    try Checkpoint.open(path: "\(root)/golden/\(name).safetensors")
  }
}
