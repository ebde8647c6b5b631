import Checkpoints
import Foundation
import TestSupport
import Testing

/// The texts of the fixture.
let calibrationText = Fixtures.path("tiny-llama/calibration.txt")
let evaluationText = Fixtures.path("tiny-llama/evaluation.txt")

/// A folder with a model made in code, named `model`.
func folderWithModel(_ model: TinyModel = TinyModel()) throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try model.write(to: folder.path("model"))
  return folder
}

/// A folder with a copy of the fixture, named `model`: a trained model, which calibration improves.
func folderWithFixture() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try FileManager.default.copyItem(atPath: Fixtures.path("tiny-llama"), toPath: folder.path("model"))
  return folder
}

/// Runs the program and expects it to succeed.
@discardableResult
func succeed(
  _ arguments: String..., in folder: TemporaryFolder, sourceLocation: SourceLocation = #_sourceLocation
) throws -> Program.Result {
  let result = try Program(arguments, in: folder).wait()
  #expect(result.code == 0, "\(result.error)", sourceLocation: sourceLocation)
  return result
}

/// A recipe with every pass, of a second or so; everything it names is in its folder.
func writeFullRecipe(to folder: TemporaryFolder, updates: Int = 40) throws {
  try folder.write(
    "text.txt", String(decoding: try Data(contentsOf: URL(filePath: calibrationText)), as: UTF8.self))
  try folder.write(
    "recipe.yaml",
    """
    input: model
    output: out.rilq
    passes:
      - quantize: {bits: 2, group_size: 64}
      - attach: {kind: pooled, rank: 8}
      - calibrate: {text: text.txt, samples: 16, length: 64, updates: \(updates), batch: 4, validation: 4,
          validate_every: 10, learning_rate: 2e-3}
      - merge: {}
      - verify: {text: text.txt, window: 64, max_tokens: 512, max_mean_kl: 1e-6}

    """)
}

extension JSONValue {
  /// The keys of an object in their order.
  var keys: [String] { (object ?? []).map(\.key) }
}
