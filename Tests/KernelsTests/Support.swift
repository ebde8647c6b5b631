import Foundation
import TestSupport
import Testing

/// Values between -1 and 1 times a size, the same in every run.
func randomFloats(_ count: Int, seed: UInt64, size: Float = 1) -> [Float] {
  var random = SplitMix64(seed: seed)
  return (0..<count).map { _ in Float.random(in: -size...size, using: &random) }
}

/// Bytes, the same in every run.
func randomBytes(_ count: Int, seed: UInt64, below limit: Int = 256) -> [UInt8] {
  var random = SplitMix64(seed: seed)
  return (0..<count).map { _ in UInt8(random.next() % UInt64(limit)) }
}

/// The bits of floats: NaNs are equal to themselves, and -0 differs from +0.
func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// Records the first value that is further off than both tolerances together allow.
func expectClose(
  _ actual: [Float], _ expected: [Float], relative: Float, absolute: Float,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.count == expected.count, sourceLocation: sourceLocation)
  for (i, (a, e)) in zip(actual, expected).enumerated() where !(abs(a - e) <= absolute + relative * abs(e)) {
    Issue.record("index \(i): \(a) instead of \(e)", sourceLocation: sourceLocation)
    return
  }
}

/// What a safetensors fixture holds, read without the modules above this one.
struct FixtureTensors {
  private let bytes: [UInt8]
  private let entries: [String: Entry]

  private struct Entry: Decodable {
    var shape: [Int]
    var data_offsets: [Int]
  }

  /// Reads the file at a path below `Fixtures/`.
  init(_ name: String) throws {
    let root = URL(filePath: #filePath).appending(path: "../../../Fixtures").standardized
    let data = try Data(contentsOf: root.appending(path: name))
    let headerLength = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = try #require(
      JSONSerialization.jsonObject(with: data[8..<8 + headerLength]) as? [String: Any])
    header["__metadata__"] = nil
    entries = try JSONDecoder().decode(
      [String: Entry].self, from: JSONSerialization.data(withJSONObject: header))
    bytes = Array(data[(8 + headerLength)...])
  }

  var names: [String] { entries.keys.sorted() }

  func shape(of name: String) throws -> [Int] { try #require(entries[name]).shape }

  func bytes(of name: String) throws -> [UInt8] {
    let offsets = try #require(entries[name]).data_offsets
    return Array(bytes[offsets[0]..<offsets[1]])
  }
}
