package import Checkpoints

/// What an output was made from, as the key `record` of a result has it.
package struct RecordedRun: Sendable {
  /// An input file and its SHA-256.
  package struct Source: Sendable {
    /// The name of the file.
    package let file: String
    /// 64 hexadecimal digits.
    package let digest: String
  }

  /// The sizes of one part of the model before and after.
  package struct Part: Sendable {
    /// The module with `*` for every number.
    package let name: String
    /// Parameters and bytes in the input.
    package let before: (parameters: Int, bytes: Int)
    /// Parameters and bytes in the output.
    package let after: (parameters: Int, bytes: Int)
  }

  /// The format of the output.
  package let format: String?
  /// The version of the program.
  package let version: String?
  /// The resolved recipe.
  package let recipe: JSONValue?
  /// The files of the input and of adapters.
  package let sources: [Source]
  /// The configuration's sizes, and the number of parameters.
  package let model: [JSONValue.Member]
  /// The bytes of the input's files.
  package let inputBytes: Int?
  /// The parts of the model.
  package let parts: [Part]

  /// Reads a record; nil when it is no object.
  init?(_ document: JSONValue) {
    guard document.object != nil else { return nil }
    let origin = document["origin"]
    format = document["format"]?.string
    version = origin?["rilq_version"]?.string
    recipe = origin?["recipe"]
    sources = ((origin?["inputs"]?.array ?? []) + (origin?["adapters"]?.array ?? [])).compactMap { entry in
      guard let file = entry["file"]?.string, let digest = entry["sha256"]?.string else { return nil }
      return Source(file: file, digest: digest)
    }
    model = document["model"]?.object ?? []
    inputBytes = document["input_bytes"]?.integer
    parts = (document["parts"]?.array ?? []).compactMap(Part.init)
  }

  /// Returns the options of each pass; empty when the recipe has another number of passes.
  func passOptions(count: Int) -> [JSONValue.Member] {
    let entries = (recipe?["passes"]?.array ?? []).compactMap { $0.object?.first }
    return entries.count == count ? entries : []
  }
}

extension RecordedRun.Part {
  fileprivate init?(_ document: JSONValue) {
    guard let name = document["name"]?.string else { return nil }
    func count(_ key: String) -> Int { max(document[key]?.integer ?? 0, 0) }
    self.init(
      name: name, before: (count("parameters_before"), count("bytes_before")),
      after: (count("parameters_after"), count("bytes_after")))
  }
}
