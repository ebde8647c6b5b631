package import Checkpoints

/// The result of one run of a recipe: what `convert --json` prints and an output keeps.
///
/// Older documents lack some keys; what they do not have is nil or empty.
package struct ConversionResult: Sendable {
  /// The name of the result in a report: the last part of the output's path.
  package let name: String
  /// The path of the input.
  package let input: String
  /// The path of the output.
  package let output: String
  /// The passes in their order.
  package let passes: [PassResult]
  /// The bytes of the output on disk.
  package let bytes: Int?
  /// The bits per quantized weight, tables and adapters included.
  package let bitsPerWeight: Double?
  /// The maximum memory of the whole run, in bytes.
  package let peakMemory: Int?
  /// What the output was made from; nil in an older document.
  package let record: RecordedRun?
  /// The number of tensors of each type in a GGUF file.
  package let types: [(name: String, count: Int)]
  /// The files and tensors that the output format cannot hold.
  package let leftOut: [String]
  /// The number of tensors that were rounded for the format.
  package let roundedCount: Int
  /// The number of tensors read back from the output, and how many of them are equal; nil without a proof.
  package let proof: (equal: Int, all: Int)?
  /// Remarks about the input and the output.
  package let notices: [String]

  /// Reads a document.
  ///
  /// - Parameters:
  ///   - document: What `convert --json` printed.
  ///   - path: The path of the document, for messages.
  /// - Throws: `FormatError` when a key that every result has is missing or has another type, or a curve is
  ///   malformed.
  package init(_ document: JSONValue, path: String) throws {
    func text(_ key: String) throws -> String {
      guard let text = document[key]?.string else { throw FormatError(path, .missing("a text '\(key)'")) }
      return text
    }
    input = try text("input")
    output = try text("output")
    name = output.split(separator: "/").last.map(String.init) ?? output
    guard let list = document["passes"]?.array else { throw FormatError(path, .missing("a list 'passes'")) }
    let record = document["record"].flatMap(RecordedRun.init)
    let options = record?.passOptions(count: list.count) ?? []
    passes = try list.enumerated().map { index, pass in
      try PassResult(pass, options: options.isEmpty ? nil : options[index], path: path)
    }
    self.record = record
    bytes = document["bytes"]?.integer
    bitsPerWeight = document["bits_per_weight"]?.double
    peakMemory = document["peak_memory_bytes"]?.integer
    types = (document["types"]?.object ?? []).map { ($0.key, $0.value.integer ?? 0) }
    leftOut = (document["left_out"]?.array ?? []).compactMap(\.string)
    roundedCount = document["lossy"]?.array?.count ?? 0
    proof = document["proof"]?["tensors"]?.array.map { tensors in
      (tensors.count { $0["equal"]?.bool == true }, tensors.count)
    }
    notices = (document["notices"]?.array ?? []).compactMap(\.string)
  }

  /// Whether a document is the result of a run.
  static func isOne(_ document: JSONValue) -> Bool { document["passes"]?.array != nil }

  /// The seconds of all passes.
  package var seconds: Double { passes.reduce(0) { $0 + $1.seconds } }

  /// The comparison with the original: the last one that is not with the state before a merge.
  package var comparisonWithOriginal: VerificationResult? {
    passes.compactMap(\.verification).last { $0.against != "unmerged" }
  }

  /// The last comparison of the merged with the unmerged state.
  package var mergeVerification: VerificationResult? {
    passes.compactMap(\.verification).last { $0.against == "unmerged" }
  }

  /// The format of the output: as recorded, or by its name.
  package var format: String? {
    record?.format ?? [".rilq", ".gguf"].first { output.hasSuffix($0) }.map { String($0.dropFirst()) }
  }
}
