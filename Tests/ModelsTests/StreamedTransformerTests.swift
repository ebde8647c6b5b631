import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing

/// A model computed layer by layer gives what the whole one gives.
@Suite struct StreamedTransformerTests {
  private let checkpoint: Checkpoint
  private let model: Transformer
  private let windows: [[Int32]]

  init() throws {
    checkpoint = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    model = try Transformer(checkpoint)
    let text = try String(contentsOfFile: Fixtures.path("tiny-llama/calibration.txt"), encoding: .utf8)
    let tokens = try Tokenizer(of: checkpoint).encode(String(text.prefix(2_000)))
    // Of different lengths, as examples are.
    windows = (0..<7).map { Array(tokens[$0 * 40..<$0 * 40 + 20 + $0]) }
  }

  /// Blocks of one, of two and of all windows: a window has at most `4 · 26 · 128` bytes.
  @Test(arguments: [1, 2 * 4 * 26 * 128, 1 << 20])
  func `every window is the same bit for bit, whatever waits between two layers`(limit: Int) throws {
    let rotary = model.rotaryTables(positions: 26)
    var completed: [Int] = []
    var count = 0
    try StreamedTransformer(model, of: checkpoint).finalHidden(windows, blockLimit: limit) {
      completed.append($0)
    } then: { index, hidden in
      #expect(index == count)
      count += 1
      let expected = try model.finalHidden(windows[index], rotary: rotary)
      #expect(hidden == expected)
    }
    #expect(count == windows.count)
    #expect(completed == completed.sorted())
    #expect(completed.last == windows.count)
  }

  @Test func `a token without a row in the embedding is refused`() throws {
    let stream = try StreamedTransformer(model, of: checkpoint)
    #expect(throws: ModelError.self) { try stream.finalHidden([[0, 5_000]]) { _, _ in } }
  }
}
