import Kernels
import Models

/// Windows of a text on their way through a model, all halted at the same place.
struct LayerWalk {
  /// The model; what is behind the windows can be changed before they get there.
  var model: Transformer
  /// The windows, halted.
  private(set) var windows: [HaltedWindow]
  private let rotary: RotaryEmbedding
  private let atOnce: Int

  /// Starts with the embeddings.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokens: Windows of one length.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(_ model: Transformer, _ tokens: [[Int32]]) throws {
    self.model = model
    let length = tokens.first?.count ?? 0
    rotary = model.rotaryEmbedding(positions: length)
    atOnce = model.windowsAtOnce(length: length)
    windows = try tokens.map { HaltedWindow(hidden: try model.embed($0)) }
  }

  /// Takes every window a step of a layer further.
  mutating func advance(layer index: Int, step: Int) {
    for start in stride(from: 0, to: windows.count, by: atOnce) {
      let (model, windows, rotary) = (model, windows, rotary)
      let moved = parallelMap(min(atOnce, windows.count - start)) { i in
        var window = windows[start + i]
        model.advance(&window, through: model.layers[index], step: step, rotary: rotary)
        return window
      }
      for (i, window) in moved.enumerated() { self.windows[start + i] = window }
    }
  }

  /// Takes every window through a whole layer again.
  ///
  /// - Parameters:
  ///   - index: The layer.
  ///   - streams: The residual stream before it, window by window.
  mutating func repeatLayer(_ index: Int, from streams: [Matrix]) {
    windows = streams.map { HaltedWindow(hidden: $0) }
    for step in 0..<Transformer.stepCount { advance(layer: index, step: step) }
  }

  /// The moments of what the next group of linears reads.
  ///
  /// - Parameter name: What an error names.
  /// - Returns: `[in, in]`.
  /// - Throws: `ModelError.notFinite`.
  func moments(named name: String) throws -> DoubleMatrix {
    var moments = SecondMoments(order: windows[0].input.columnCount)
    for window in windows { moments.add(window.input) }
    guard moments.isFinite else { throw ModelError.notFinite("the input of '\(name)'") }
    return DoubleMatrix(moments)
  }
}
