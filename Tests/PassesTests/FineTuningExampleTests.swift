import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct FineTuningExampleTests {
  private static let lines = """
    {"prompt": "In the", "completion": " beginning"}
    {"prompt": "", "completion": "God created the heaven and the earth."}
    {"prompt": "And the earth was", "completion": " without form"}

    """

  private func windows(
    _ text: String = lines, samples: Int = 3, validation: Int = 0, length: Int = 64
  ) throws -> CalibrationWindows {
    let folder = try TemporaryFolder()
    let path = try folder.write("text.jsonl", text)
    return try fixtureWindows(
      WindowSource(
        texts: [path], samples: samples, validation: validation, length: length, seed: 1, takesExamples: true),
      in: folder)
  }

  @Test func `an example is a prompt, its completion and the token that ends a text`() throws {
    let tokenizer = try Tokenizer(contentsOf: Fixtures.path("tiny-llama/tokenizer.json"))
    let window = try windows().training[0]
    let prompt = tokenizer.encode("In the")
    let completion = tokenizer.encode(" beginning")
    #expect(window.tokens == prompt + completion + [1])
    #expect(
      window.isScored == prompt.map { _ in false } + completion.map { _ in true } + [true])
  }

  @Test func `the first token is never scored`() throws {
    let window = try windows().training[1]
    #expect(window.isScored?.first == false)
    #expect(window.isScored?.dropFirst().allSatisfy { $0 } == true)
  }

  @Test func `an example that is too long loses its end and is counted`() throws {
    let whole = try windows()
    let cut = try windows(length: 8)
    #expect(whole.cutCount == 0 && cut.cutCount == 1)
    #expect(cut.training[1].tokens == Array(whole.training[1].tokens.prefix(8)))
    #expect(cut.training[0] == whole.training[0])
  }

  @Test func `examples that are held back are others than those trained on`() throws {
    let drawn = try windows(samples: 2, validation: 1)
    #expect(drawn.training.count == 2 && drawn.validation.count == 1)
    #expect(Set(drawn.tokens).count == 3)
  }

  @Test func `too few examples are refused`() {
    let text = message { _ = try windows(samples: 3, validation: 1) }
    #expect(text.hasSuffix("text.jsonl: has 3 examples, but 4 are requested"))
  }

  @Test(arguments: [
    (#"{"prompt": "a"}"#, "has no 'completion'"), (#"{"completion": "a"}"#, "has no 'prompt'"),
    (#"{"prompt": 1, "completion": "a"}"#, "'prompt' is not a text"),
    (#"{"prompt": "a", "completion": ""}"#, "'completion' is empty"),
    (
      #"{"prompt": "And the earth was without form, and void", "completion": "a"}"#,
      "the prompt has 12 tokens, which leaves none of the 8 of a window for the completion"
    ), (#"{"messages": [{"role": "user", "content": "a"}]}"#, "has 'messages', whose chat template"),
  ])
  func `refuses a line`(line: String, expected: String) throws {
    let found = try windowError(line, takesExamples: true)
    #expect(found.hasPrefix("text.jsonl: line 1: " + expected), "\(found)")
  }

  @Test func `a model without a token that ends a text is refused`() throws {
    let bench = try Workbench()
    let path = try bench.folder.write("text.jsonl", Self.lines)
    let source = WindowSource(texts: [path], samples: 1, length: 64, seed: 1, takesExamples: true)
    #expect(throws: ModelError.self) { try fixtureWindows(source, in: bench.folder, input: bench.input) }
  }
}
