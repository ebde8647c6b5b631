package import Checkpoints

/// The output of `rilq hash`.
package struct HashReport: Sendable {
  private let path: String
  private let digest: CheckpointDigest
  private let expected: Digest256?

  /// Takes digests and an optional expected digest.
  ///
  /// - Parameters:
  ///   - path: The checkpoint's path, as printed.
  ///   - digest: The digests.
  ///   - expected: A content or weights digest to compare with.
  package init(path: String, _ digest: CheckpointDigest, expected: Digest256? = nil) {
    self.path = path
    self.digest = digest
    self.expected = expected
  }

  /// Whether one of the two digests is the expected one; true when none is expected.
  package var isExpected: Bool { expected.map { $0 == digest.content || $0 == digest.weights } ?? true }

  /// The JSON document for programs, always with tensors and files.
  package var json: JSONValue {
    var members = [
      JSONValue.Member("path", .string(path)),
      JSONValue.Member("content", .string(digest.content.description)),
      JSONValue.Member("weights", .string(digest.weights.description)),
    ]
    if expected != nil { members.append(JSONValue.Member("matches", .bool(isExpected))) }
    let assets = digest.assets.map { (name: $0.name, digest: $0.digest) }
    members += [
      JSONValue.Member(
        "tensors", Self.list(digest.tensors.map { (name: $0.tensor.name, digest: $0.digest) })),
      JSONValue.Member("files", Self.list(assets)),
    ]
    return .object(members)
  }

  private static func list(_ digests: [(name: String, digest: Digest256)]) -> JSONValue {
    .array(
      digests.map {
        .object([
          JSONValue.Member("name", .string($0.name)),
          JSONValue.Member("sha256", .string($0.digest.description)),
        ])
      })
  }

  /// Returns the report as text.
  ///
  /// - Parameter listsTensors: Whether to print one line for every tensor and file.
  /// - Returns: Lines with a digest and a name.
  package func text(listsTensors: Bool) -> String {
    var lines: [String] = []
    if listsTensors {
      lines += digest.tensors.map { "\($0.digest)  \($0.tensor.name.escapedForDisplay)" }
      lines += digest.assets.map { "\($0.digest)  \($0.name.escapedForDisplay)" }
    }
    lines.append("\(digest.content)  content")
    lines.append("\(digest.weights)  weights")
    if let expected, !isExpected { lines.append("DIFFERENT: expected \(expected)") }
    return lines.joined(separator: "\n")
  }
}
