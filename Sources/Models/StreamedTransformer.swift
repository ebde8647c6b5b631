package import Checkpoints
package import Kernels

/// A model that computes many windows layer by layer, with one layer's weights in memory at a time.
///
/// The file is read once per block of windows, whose size is limited by `blockLimit`. The results equal those
/// of `Transformer.finalHidden`, bit for bit.
package struct StreamedTransformer: Sendable {
  /// The maximum size, in bytes, of the residual streams kept between two layers.
  package static let blockLimit = 128_000_000

  private let reader: ModelReader
  /// The model without its layers.
  private let frame: Transformer

  /// Takes a model and releases its layers.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - checkpoint: The checkpoint that the model was read from.
  /// - Throws: `FormatError` when a tensor of all experts has another shape than the configuration says.
  package init(_ model: Transformer, of checkpoint: Checkpoint) throws {
    reader = ModelReader(checkpoint: try checkpoint.separatingExperts())
    var frame = model
    frame.layers = []
    self.frame = frame
  }

  /// Computes the hidden states after the final norm.
  ///
  /// - Parameters:
  ///   - windows: The tokens of each window.
  ///   - blockLimit: The maximum size, in bytes, of the residual streams kept between two layers. A block has
  ///     at least one window.
  ///   - progress: Called after each layer of a block; counts windows.
  ///   - then: Called in order with each window's index and hidden states, `[tokens, hidden]`.
  /// - Throws: `ModelError.tokenOutOfRange`, `FormatError` when a layer cannot be read, or the errors of
  ///   `then`.
  package func finalHidden(
    _ windows: [[Int32]], blockLimit: Int = Self.blockLimit, progress: (Int) -> Void = { _ in },
    then: (Int, Matrix) throws -> Void
  ) throws {
    guard let length = windows.lazy.map(\.count).max() else { return }
    let rotary = frame.rotaryTables(positions: length)
    let atOnce = frame.windowsAtOnce(length: length)
    let width = frame.configuration.hiddenSize + frame.configuration.description.lentWidth
    let size = max(1, blockLimit / max(4 * length * width, 1))
    for start in stride(from: 0, to: windows.count, by: size) {
      let block = start..<min(start + size, windows.count)
      var streams = try windows[block].map { try frame.stream(of: $0) }
      let layerCount = frame.configuration.layerCount
      for index in 0..<layerCount {
        let layer = try layer(index)
        streams.update(atOnce: atOnce) { frame.run(layer, &$0, rotary: rotary) }
        progress(block.lowerBound + block.count * (index + 1) / layerCount)
      }
      for (i, stream) in streams.enumerated() {
        try then(block.lowerBound + i, frame.finalNorm(stream.hidden))
      }
    }
  }
}

extension StreamedTransformer {
  private func layer(_ index: Int) throws -> Transformer.DecoderLayer {
    var layer = try Transformer.DecoderLayer(index, frame.layout, reader)
    layer.setOperands(frame.operands)
    return layer
  }
}

extension [WindowStream] {
  /// Changes every window, `count` of them in parallel.
  fileprivate mutating func update(atOnce count: Int, _ body: @Sendable (inout WindowStream) -> Void) {
    for start in stride(from: 0, to: self.count, by: count) {
      let part = Array(self[start..<Swift.min(start + count, self.count)])
      let changed = parallelMap(part.count) { i in
        var stream = part[i]
        body(&stream)
        return stream
      }
      replaceSubrange(start..<start + changed.count, with: changed)
    }
  }
}
