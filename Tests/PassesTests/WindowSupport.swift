import Checkpoints
import Models
import Passes
import TestSupport

/// The windows of a source, from the fixture's model.
func fixtureWindows(
  _ source: WindowSource, in folder: TemporaryFolder, input: Checkpoint? = nil, later: [WindowSource] = [],
  progress: @escaping ProgressHandler = { _ in }
) throws -> CalibrationWindows {
  let model = try input ?? Checkpoint.open(path: Fixtures.path("tiny-llama"))
  return try CalibrationWindows(
    source, input: model, original: model, work: WorkFiles(path: folder.path), later: later,
    progress: progress)
}

/// The message of the error that making the windows of a file gives, without the folder.
func windowError(
  _ text: String, named name: String = "text.jsonl", takesExamples: Bool = false, length: Int = 8
) throws -> String {
  let folder = try TemporaryFolder()
  let path = try folder.write(name, text)
  let source = WindowSource(
    texts: [path], samples: 1, length: length, seed: 1, takesExamples: takesExamples)
  return message { _ = try fixtureWindows(source, in: folder) }.replacing(folder.path + "/", with: "")
}
