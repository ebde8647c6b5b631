import Checkpoints
import Models
import TestSupport
import Testing

@Suite struct TextBoundariesTests {
  /// A checkpoint with these files, `config.json` that of the fixture with other keys behind it.
  private func checkpoint(
    _ keys: [JSONValue.Member] = [], generation: String? = nil, in folder: TemporaryFolder
  ) throws -> Checkpoint {
    var configuration = try JSONValue(contentsOf: Fixtures.path("tiny-llama/config.json"))
    for key in keys { configuration.set(key.key, to: key.value) }
    try TinyModel().write(to: folder.path("model"))
    try folder.write("model/config.json", configuration.prettyText)
    if let generation { try folder.write("model/generation_config.json", generation) }
    return try Checkpoint.open(path: folder.path("model"))
  }

  @Test func `reads the fixture`() throws {
    let boundaries = try TextBoundaries(of: Checkpoint.open(path: Fixtures.path("tiny-llama")))
    #expect(boundaries == TextBoundaries(beginToken: 0, endTokens: [1]))
  }

  @Test func `the generation configuration comes first`() throws {
    let folder = try TemporaryFolder()
    let checkpoint = try checkpoint(generation: #"{"bos_token_id": 7, "eos_token_id": [3, 5]}"#, in: folder)
    #expect(try TextBoundaries(of: checkpoint) == TextBoundaries(beginToken: 7, endTokens: [3, 5]))
  }

  @Test func `what it does not say comes from the configuration`() throws {
    let folder = try TemporaryFolder()
    let checkpoint = try checkpoint(
      [.init("eos_token_id", .array([.integer(9), .integer(8)]))], generation: #"{"bos_token_id": null}"#,
      in: folder)
    #expect(try TextBoundaries(of: checkpoint) == TextBoundaries(beginToken: 0, endTokens: [9, 8]))
  }

  @Test func `a model may have none`() throws {
    let folder = try TemporaryFolder()
    let checkpoint = try checkpoint(
      [.init("bos_token_id", .null), .init("eos_token_id", .null)], in: folder)
    #expect(try TextBoundaries(of: checkpoint) == TextBoundaries(beginToken: nil, endTokens: []))
  }

  @Test(arguments: [
    ("[]", "is not an object"), ("{", "byte"), (#"{"eos_token_id": "x"}"#, "must be a token id"),
    (#"{"eos_token_id": 1024}"#, "token 1024 is outside the vocabulary of 1024"),
    (#"{"bos_token_id": -1}"#, "must be a token id"),
  ])
  func `refuses a malformed generation configuration`(text: String, expected: String) throws {
    let folder = try TemporaryFolder()
    let checkpoint = try checkpoint(generation: text, in: folder)
    let error = #expect(throws: FormatError.self) { try TextBoundaries(of: checkpoint) }
    #expect(error?.description.contains(expected) == true, "\(String(describing: error))")
    #expect(error?.path.hasSuffix("/generation_config.json") == true)
  }
}
