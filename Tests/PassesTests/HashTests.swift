import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct HashTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func digest(_ checkpoint: Checkpoint) throws -> CheckpointDigest {
    try CheckpointDigest(of: checkpoint)
  }

  @Test func `is the same for a folder, a container and back`() throws {
    let original = try digest(Checkpoint.open(path: tinyLlama))
    let packed = try convert(tinyLlama, to: folder.path("tiny.rilq"))
    let back = try convert(packed.path, to: folder.path("back"))
    #expect(try digest(packed).content == original.content)
    #expect(try digest(back).content == original.content)
    #expect(try ContainerFile(path: packed.path).contentDigest == original.content)
  }

  @Test func `has a digest of the weights that a rewritten configuration leaves alone`() throws {
    let packed = try convert(tinyLlama, to: folder.path("q.rilq"), passes: "[{quantize: {bits: 2}}]")
    let back = try convert(packed.path, to: folder.path("q"))
    #expect(try digest(packed).weights == digest(back).weights)
  }

  @Test func `changes with a value, a name and a file`() throws {
    var (first, second, third) = (SmallCheckpoint(), SmallCheckpoint(), SmallCheckpoint())
    first.add("x", [1])
    second.add("x", [2])
    third.add("y", [1])
    let digests = try [first, second, third].enumerated().map { i, small in
      try digest(small.open(in: folder, named: "\(i).rilq")).weights
    }
    #expect(Set(digests).count == 3)
  }

  @Test func `ignores order and metadata`() throws {
    var (first, second) = (SmallCheckpoint(), SmallCheckpoint())
    first.add("x", [1])
    first.add("y", [2])
    second.add("y", [2])
    second.add("x", [1])
    second.metadata = .object([JSONValue.Member("note", .string("x"))])
    #expect(
      try digest(first.open(in: folder, named: "a.rilq")).content
        == digest(second.open(in: folder, named: "b.rilq")).content)
  }

  @Test func `checks either digest`() throws {
    let digest = try digest(Checkpoint.open(path: tinyLlama))
    for expected in [digest.content, digest.weights] {
      #expect(HashReport(path: "x", digest, expected: expected).isExpected)
    }
    let other = try #require(Digest256(String(repeating: "0", count: 64)))
    let report = HashReport(path: "x", digest, expected: other)
    #expect(!report.isExpected)
    #expect(report.text(listsTensors: false).hasSuffix("DIFFERENT: expected \(other)"))
  }

  @Test(arguments: ["", "12", String(repeating: "g", count: 64), String(repeating: "é", count: 32)])
  func `reads no digest from`(text: String) {
    #expect(Digest256(text) == nil)
  }

  @Test func `escapes names`() throws {
    var small = SmallCheckpoint()
    small.add("a\u{1B}b", [1])
    let digest = try digest(small.open(in: folder))
    #expect(HashReport(path: "x", digest).text(listsTensors: true).contains("  a\\u{1b}b\n"))
  }
}
