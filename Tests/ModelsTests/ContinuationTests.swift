import Checkpoints
import Models
import TestSupport
import Testing

@Suite struct ContinuationTests {
  private func continuation(_ tokens: [Int32], isEnded: Bool = false) -> Continuation {
    Continuation(tokens: tokens, isEnded: isEnded)
  }

  private static let text = (0..<32).map { Int32($0 * 7) }

  @Test(arguments: [
    [Int32](repeating: 5, count: 32), [1, 2, 3, 4, 5, 6, 7, 8] + [Int32](repeating: 5, count: 24),
    (0..<32).map { [4, 9][$0 % 2] }, (0..<32).map { [4, 9, 4, 7][$0 % 4] }, (0..<8).map { _ in 3 },
  ])
  func `a token or a short cycle again and again is a collapse`(tokens: [Int32]) {
    #expect(continuation(tokens).isCollapsed)
    #expect(!continuation(tokens, isEnded: true).isCollapsed)
  }

  @Test(arguments: [
    text, (0..<32).map { Int32($0 % 5) }, [Int32](repeating: 5, count: 31) + [6],
    [1, 2, 3, 4, 5, 6, 7, 8, 9] + [Int32](repeating: 5, count: 23), [3, 3, 3, 3, 3, 3, 3], [],
  ])
  func `other continuations are no collapse`(tokens: [Int32]) {
    #expect(!continuation(tokens).isCollapsed)
  }

  @Test func `repetition is the share of four tokens that came before`() {
    #expect(continuation(Self.text).repetition == 0)
    #expect(continuation([1, 2, 3]).repetition == 0)
    #expect(abs(continuation([Int32](repeating: 5, count: 8)).repetition - 0.8) < 1e-12)
    #expect(abs(continuation([1, 2, 3, 4, 1, 2, 3, 4]).repetition - 0.2) < 1e-12)
  }

  @Test func `continuations together are those of each prompt alone`() throws {
    let checkpoint = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    let (model, tokenizer) = (try Transformer(checkpoint), try Tokenizer(of: checkpoint))
    let golden = try GoldenModel.json("generation.json")
    let prompts = try #require(golden["cases"]?.array).map { tokenizer.encode($0["prompt"]?.string ?? "") }
    let count = try #require(golden["max_tokens"]?.integer)
    let together = try model.continuations(of: prompts, tokenCount: count, endTokens: [1])
    for (continuation, item) in zip(together, golden["cases"]?.array ?? []) {
      #expect(continuation.tokens.map { .integer(Int($0)) } == item["tokens"]?.array)
    }
    #expect(together.allSatisfy { !$0.isEnded })
    // A token of the first continuation ends it; the others go on.
    let end = try #require(together[0].tokens.first { !together[1].tokens.contains($0) })
    let ended = try model.continuations(of: prompts, tokenCount: count, endTokens: [end])
    let first = try #require(together[0].tokens.firstIndex(of: end))
    #expect(ended[0] == continuation(Array(together[0].tokens[...first]), isEnded: true))
    #expect(ended[1] == together[1])
  }

  @Test func `a prompt beyond the context is refused`() throws {
    let model = try Transformer(Checkpoint.open(path: Fixtures.path("tiny-llama")))
    #expect(throws: ModelError.contextTooLong(tokens: 513, limit: 512)) {
      _ = try model.continuations(of: [[1], [1, 2]], tokenCount: 511, endTokens: [])
    }
  }
}

@Suite struct GenerationComparisonTests {
  private func compare(_ pairs: [(Continuation, Continuation)]) -> GenerationComparison {
    GenerationComparison(
      pairs.map { GenerationComparison.Pair(reference: $0, candidate: $1) }, tokenCount: 16)
  }

  private static let text = Continuation(tokens: (0..<16).map { Int32($0) })
  private static let loop = Continuation(tokens: [Int32](repeating: 0, count: 16))
  private static let ended = Continuation(tokens: [0, 1, 2], isEnded: true)

  @Test func `counts the first equal tokens`() {
    let comparison = compare([(Self.text, Self.text), (Self.text, Self.loop), (Self.text, Self.ended)])
    #expect(comparison.equalTokens == [16, 1, 3])
    #expect(comparison.shortestEqualTokens == 1 && comparison.identicalCount == 1)
    #expect(abs(comparison.meanEqualTokens - 20.0 / 3) < 1e-12)
  }

  @Test func `texts that end at the same place are equal throughout`() {
    #expect(compare([(Self.ended, Self.ended)]).equalTokens == [16])
    #expect(compare([(Self.ended, Continuation(tokens: [0, 1, 2]))]).equalTokens == [3])
  }

  @Test func `a collapse counts where the reference has none`() {
    let comparison = compare([(Self.text, Self.loop), (Self.loop, Self.loop), (Self.loop, Self.text)])
    #expect(comparison.newlyCollapsedCount == 1)
    #expect(comparison.collapsedCount(\.reference) == 2 && comparison.collapsedCount(\.candidate) == 2)
    #expect(abs(comparison.meanRepetition(\.reference) - 2 * (12.0 / 13) / 3) < 1e-12)
  }
}
