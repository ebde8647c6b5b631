import Kernels
import Models

/// The windows of a text on their way through the layers of a model, all of them halted at the same place.
struct HaltedWindows {
  private(set) var windows: [HaltedWindow]
  private let rotary: RotaryEmbedding
  private let atOnce: Int

  /// Begins with the embeddings of tokens.
  ///
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(_ tokens: [[Int32]], in model: Transformer) throws {
    let length = tokens.first?.count ?? 0
    rotary = model.rotaryEmbedding(positions: length)
    atOnce = model.windowsAtOnce(length: length)
    windows = try tokens.map { HaltedWindow(hidden: try model.embed($0)) }
  }

  /// Takes every window a step further, some of them at once.
  mutating func advance(layer: Transformer.DecoderLayer, step: Int, of model: Transformer) {
    for start in stride(from: 0, to: windows.count, by: atOnce) {
      let (windows, rotary) = (windows, rotary)
      let moved = parallelMap(min(atOnce, windows.count - start)) { i in
        var window = windows[start + i]
        model.advance(&window, through: layer, step: step, rotary: rotary)
        return window
      }
      for (i, window) in moved.enumerated() { self.windows[start + i] = window }
    }
  }
}
