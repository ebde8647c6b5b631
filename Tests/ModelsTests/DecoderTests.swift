import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

@Suite struct DecoderTests {
  /// Both ways add in f32, in another order.
  private static let tolerance: Float = 1e-4
  private static let tokens: [Int32] = [297, 260, 336, 380, 320, 670, 13, 632, 402, 561, 260, 336, 399]

  enum Kind: String, CaseIterable, Sendable { case dense, packedWithDense, packedWithPooled }

  private func model(_ kind: Kind) throws -> Transformer {
    switch kind {
    case .dense: return try Transformer(Checkpoint.open(path: Fixtures.path("tiny-llama")))
    case .packedWithDense:
      let golden = try Checkpoint.open(path: Fixtures.path("golden/gradients-dense.safetensors"))
      return try GoldenModel.student(adaptersFrom: golden, kind: .dense)
    case .packedWithPooled:
      let golden = try Checkpoint.open(path: Fixtures.path("golden/gradients-pooled.safetensors"))
      return try GoldenModel.student(adaptersFrom: golden, kind: .pooled)
    }
  }

  /// The logits of the token behind every beginning of the tokens, at least `first` long.
  private func wholeLogits(_ model: Transformer, from first: Int) throws -> [[Float]] {
    let rotary = model.rotaryTables(positions: Self.tokens.count)
    let logits = model.logits(try model.finalHidden(Self.tokens, rotary: rotary))
    return (first - 1..<logits.rowCount).map { Array(logits.values[logits.row($0)]) }
  }

  private func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
  }

  @Test(arguments: Kind.allCases, [1, 5])
  func `tokens one by one have the logits of the whole window`(kind: Kind, promptCount: Int) throws {
    let model = try model(kind)
    let expected = try wholeLogits(model, from: promptCount)
    for products in [Decoder.Products.fastest, .independent] {
      var decoder = Decoder(model, capacity: Self.tokens.count, products: products)
      var logits = try decoder.read(Array(Self.tokens.prefix(promptCount)))
      #expect(largestDifference(logits.values, expected[0]) < Self.tolerance)
      for (index, token) in Self.tokens.enumerated().dropFirst(promptCount) {
        logits = try decoder.append([token], slots: [0])
        #expect(largestDifference(logits.values, expected[index + 1 - promptCount]) < Self.tolerance)
      }
    }
  }

  @Test func `a long prompt is read in parts`() throws {
    let model = try model(.dense)
    let tokens = (0..<300).map { Self.tokens[$0 % Self.tokens.count] }
    var decoder = Decoder(model, capacity: 300)
    let logits = try decoder.read(tokens)
    let hidden = try model.finalHidden(tokens, rotary: model.rotaryTables(positions: 300))
    let expected = model.logits(hidden.rows(299..<300))
    #expect(largestDifference(logits.values, expected.values) < Self.tolerance)
  }

  /// Room for keys and values is taken as tokens come: at 33, 65, 129 and 257 of them, the last time to less than twice as much.
  @Test func `many tokens one by one have the logits of the whole window`() throws {
    let model = try model(.dense)
    let tokens = (0..<300).map { Self.tokens[$0 % Self.tokens.count] }
    var decoder = Decoder(model, capacity: 300)
    let expected = model.logits(
      try model.finalHidden(tokens, rotary: model.rotaryTables(positions: 300)))
    for (index, token) in tokens.enumerated() {
      let logits = try decoder.append([token], slots: [0])
      let row = Array(expected.values[expected.row(index)])
      #expect(largestDifference(logits.values, row) < Self.tolerance, "token \(index)")
    }
  }

  /// A layer with a window of 7 tokens, one that sees everything, and two that borrow their keys.
  @Test func `tokens before a window are dropped, and the logits stay those of the whole window`() throws {
    let folder = try TemporaryFolder()
    let model = try Transformer(FamilyModel.connectedGemma4().write(to: folder.path("model")))
    let tokens = (0..<300).map { Self.tokens[$0 % Self.tokens.count] }
    let expected = model.logits(try model.finalHidden(tokens, rotary: model.rotaryTables(positions: 300)))
    var decoder = Decoder(model, capacity: 300)
    var logits = try decoder.read(Array(tokens.prefix(270)))
    for (index, token) in tokens.enumerated().dropFirst(270) {
      let row = Array(expected.values[expected.row(index - 1)])
      #expect(largestDifference(logits.values, row) < Self.tolerance, "token \(index)")
      logits = try decoder.append([token], slots: [0])
    }
    // Keys and values of width 32 and 16. The window has room for the 14 tokens of the prompt's last block.
    let whole = 2 * 32 * 320
    #expect(decoder.cachedByteCount() == 4 * (whole + 2 * 16 * 96))
    decoder.clear(0)
    for token in tokens { logits = try decoder.append([token], slots: [0]) }
    let last = Array(expected.values[expected.row(299)])
    #expect(largestDifference(logits.values, last) < Self.tolerance)
    #expect(decoder.cachedByteCount() == 4 * (whole + 2 * 16 * 64))
  }

  @Test(arguments: Kind.allCases)
  func `independent logits are the same bits whatever else is computed`(kind: Kind) throws {
    let model = try model(kind)
    var alone = Decoder(model, capacity: 8, products: .independent)
    var together = Decoder(model, slots: 14, capacity: 8, products: .independent)
    for token in Self.tokens.prefix(4) {
      let expected = try alone.append([token], slots: [0])
      let others = (0..<14).map { $0 == 9 ? token : Int32($0) }
      let logits = try together.append(others, slots: Array(0..<14))
      #expect(Array(logits.values[logits.row(9)]) == expected.values)
    }
  }

  @Test func `a cleared slot begins a new sequence`() throws {
    let model = try model(.dense)
    var decoder = Decoder(model, capacity: 4)
    let first = try decoder.read([5, 6])
    decoder.clear(0)
    #expect(try decoder.read([5, 6]) == first)
  }

  @Test func `a token without a row in the embedding is refused`() throws {
    var decoder = Decoder(try model(.dense), capacity: 4)
    #expect(throws: ModelError.tokenOutOfRange(id: 1024, vocabularySize: 1024)) { try decoder.read([1024]) }
  }
}
