package import Checkpoints
package import Models

/// A result with everything else that a report shows of it.
package struct ReportedResult: Sendable {
  /// The result of the run.
  package let conversion: ConversionResult
  /// Further measurements of the output.
  package var evaluations: [EvaluationResult] = []
  /// The errors of the output's linears.
  package var analysis: AnalysisResult?
  /// The codes and tables of the output; nil when it was not given, or has none.
  package var tables: TableHistograms?

  /// Takes a result alone.
  package init(_ conversion: ConversionResult) { self.conversion = conversion }
}

extension ReportedResult {
  private static let byteLimit = 64 << 20

  /// Reads the arguments of `report` in their order.
  ///
  /// Each is the result of a run, an output that keeps its result, or a document of `eval` or `analyze`,
  /// which belongs to the result before it.
  ///
  /// - Parameters:
  ///   - paths: The paths, at least one.
  ///   - access: How outputs are opened.
  ///   - progress: Called while the codes of outputs are read.
  /// - Returns: The results, at least one.
  /// - Throws: `FormatError` when a file is missing, malformed, or of another kind.
  package static func all(
    at paths: [String], access: FileAccess, progress: ProgressHandler = { _ in }
  ) throws -> [ReportedResult] {
    var results: [ReportedResult] = []
    for path in paths {
      guard let document = try document(at: path) else {
        results.append(try ReportedResult(output: path, access: access, progress: progress))
        continue
      }
      if ConversionResult.isOne(document) {
        results.append(ReportedResult(try ConversionResult(document, path: path)))
      } else {
        try attach(document, path, to: &results)
      }
    }
    return results
  }

  /// Opens an output with the result that it keeps.
  private init(output path: String, access: FileAccess, progress: ProgressHandler) throws {
    let place = try ResultsFile.path(ofOutput: path)
    guard try FileSystem.kind(of: place) != nil else {
      throw FormatError(path, .missing("its result, '\(place)', which 'convert' writes"))
    }
    self.init(try ConversionResult(JSONValue(contentsOf: place), path: place))
    tables = try TableHistograms(of: Checkpoint.open(path: path, access: access), progress: progress)
  }

  /// Reads a JSON document; nil when the path is that of an output.
  private static func document(at path: String) throws -> JSONValue? {
    if try FileSystem.kind(of: path) == .folder { return nil }
    if ["rilq", "gguf"].contains(FileSystem.fileExtension(path)) { return nil }
    guard try FileSystem.requireRegularFile(path) <= byteLimit else {
      throw FormatError(path, .unsupported("is larger than \(byteLimit) bytes"))
    }
    return try JSONValue(contentsOf: path)
  }

  private static func attach(
    _ document: JSONValue, _ path: String, to results: inout [ReportedResult]
  ) throws {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let evaluation = EvaluationResult(document, name: name)
    let analysis = AnalysisResult(document)
    guard evaluation != nil || analysis != nil else {
      throw FormatError(path, .unsupported("is no result of convert, eval or analyze"))
    }
    guard !results.isEmpty else {
      throw FormatError(path, .unsupported("belongs to a result of convert, which must come before it"))
    }
    if let evaluation { results[results.count - 1].evaluations.append(evaluation) }
    if let analysis { results[results.count - 1].analysis = analysis }
  }
}
