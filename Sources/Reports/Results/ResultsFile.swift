import Checkpoints

/// The file in which an output keeps the result of its run; see `Formats/results.md`.
package enum ResultsFile {
  /// Returns the path of the result of an output that is a file.
  package static func path(besideFile output: String) -> String { output + ".results.json" }

  /// Returns the path of the result in an output folder.
  package static func path(inFolder output: String) -> String {
    FileSystem.join(output, FolderAssets.resultsName)
  }

  /// Returns the path of the result of an existing output.
  ///
  /// - Throws: `FormatError` when there is no such output.
  package static func path(ofOutput output: String) throws -> String {
    switch try FileSystem.kind(of: output) {
    case .folder: path(inFolder: output)
    case .file, .other: path(besideFile: output)
    case nil: throw FormatError(output, .notFound("the output"))
    }
  }
}
