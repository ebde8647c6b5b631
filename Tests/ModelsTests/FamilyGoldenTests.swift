import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Every family against transformers, on the checkpoints of `FamilyCheckpoints`.
@Suite(.enabled(if: !FamilyCheckpoints.names.isEmpty, "the tiny checkpoints of the families are not there"))
struct FamilyGoldenTests {
  @Test(arguments: FamilyCheckpoints.names)
  func `logits equal transformers'`(name: String) throws {
    let model = try Transformer(Checkpoint.open(path: FamilyCheckpoints.path(name)))
    let golden = try FamilyCheckpoints.tensors(name)
    let tokens = try Fixtures.integers("tokens", in: golden)
    let hidden = try model.finalHidden(tokens, rotary: model.rotaryTables(positions: tokens.count))
    let expected = try Fixtures.floats("logits", in: golden)
    let logits = model.logits(hidden).values
    #expect(logits.count == expected.count)
    let largest = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(largest < 1e-3)
  }

  @Test(arguments: FamilyCheckpoints.names)
  func `the greedy continuation equals transformers'`(name: String) throws {
    let model = try Transformer(Checkpoint.open(path: FamilyCheckpoints.path(name)))
    let greedy = try FamilyCheckpoints.golden(name)["greedy"]
    let prompt = (greedy?["prompt"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
    let expected = (greedy?["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) }
    var decoder = Decoder(model, capacity: prompt.count + expected.count)
    var logits = try decoder.read(prompt)
    var tokens: [Int32] = []
    while tokens.count < expected.count {
      let best = logits.values.indices.max { logits.values[$0] < logits.values[$1] } ?? 0
      tokens.append(Int32(best))
      guard tokens.count < expected.count else { break }
      logits = try decoder.append([Int32(best)], slots: [0])
    }
    #expect(!expected.isEmpty && tokens == expected)
  }
}
