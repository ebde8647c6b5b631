/// The keys and values of the tokens that one sequence has so far, layer by layer.
package struct KeyValueCache: Sendable {
  /// What attention needs of one layer, with room for all tokens.
  struct Layer: Sendable {
    /// `[key-value heads · headSize, capacity]`, turned by their positions: a token a column, as products with queries read them.
    fileprivate(set) var keys: [Float]
    /// `[capacity, key-value heads · headSize]`.
    fileprivate(set) var values: [Float]
    /// The tokens that there is room for, a multiple of `KeyValueCache.columns`.
    let capacity: Int

    fileprivate init(width: Int, capacity: Int) {
      keys = [Float](repeating: 0, count: width * capacity)
      values = keys
      self.capacity = capacity
    }

    /// Adds the keys and values of one token.
    mutating func set(_ token: Int, keys newKeys: Span<Float>, values newValues: Span<Float>) {
      let capacity = capacity
      var columns = keys.mutableSpan
      for i in newKeys.indices { columns[i * capacity + token] = newKeys[i] }
      let start = token * newValues.count
      var rows = values.mutableSpan
      for i in newValues.indices { rows[start + i] = newValues[i] }
    }
  }

  /// The tokens that products with keys take together.
  static let columns = 32

  var layers: [Layer]
  /// The tokens whose keys and values every layer has.
  package internal(set) var tokenCount = 0

  /// Begins a sequence without tokens.
  ///
  /// - Parameters:
  ///   - c: The model.
  ///   - tokens: The tokens that it may have.
  init(_ c: LlamaConfiguration, tokens: Int) {
    let (width, capacity) = (c.keyValueHeadCount * c.headSize, Self.capacity(tokens))
    layers = (0..<c.layerCount).map { _ in Layer(width: width, capacity: capacity) }
  }

  /// The bytes of a sequence.
  static func byteCount(_ c: LlamaConfiguration, tokens: Int) -> Int {
    2 * 4 * capacity(tokens) * c.layerCount * c.keyValueHeadCount * c.headSize
  }

  private static func capacity(_ tokens: Int) -> Int { (tokens + columns - 1) / columns * columns }
}
