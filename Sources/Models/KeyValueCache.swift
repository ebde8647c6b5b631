import Checkpoints

/// The keys and values of the tokens that one sequence has so far, layer by layer.
package struct KeyValueCache: Sendable {
  /// What attention needs of one layer.
  struct Layer: Sendable {
    /// `[key-value heads · headSize, room]`, turned by their positions: a token a column, as products with queries read them.
    fileprivate(set) var keys: [Float] = []
    /// `[room, key-value heads · headSize]`.
    fileprivate(set) var values: [Float] = []
    /// The tokens that there is room for now, a multiple of `KeyValueCache.columns`.
    fileprivate(set) var room = 0
    /// The most tokens that there will be room for, as many.
    fileprivate let capacity: Int

    /// Sets the keys and values of one token, behind those that are there.
    mutating func set(_ token: Int, keys newKeys: Span<Float>, values newValues: Span<Float>) {
      precondition(token < capacity, "no room for token \(token)")
      if token >= room { grow(width: newKeys.count) }
      let room = room
      var columns = keys.mutableSpan
      for i in newKeys.indices { columns[i * room + token] = newKeys[i] }
      let start = token * newValues.count
      var rows = values.mutableSpan
      for i in newValues.indices { rows[start + i] = newValues[i] }
    }

    /// Doubles the room, or takes all there may be.
    private mutating func grow(width: Int) {
      let more = min(max(2 * room, KeyValueCache.columns), capacity)
      var wider = [Float](repeating: 0, count: width * more)
      for i in 0..<width {
        wider.replaceSubrange(i * more..<i * more + room, with: keys[i * room..<(i + 1) * room])
      }
      keys = wider
      var longer = values
      longer.reserveCapacity(width * more)
      longer.append(contentsOf: repeatElement(0, count: width * (more - room)))
      values = longer
      room = more
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
  ///   - layerCount: The layers of the model.
  ///   - tokens: The tokens that it may have; memory is taken as they come.
  init(layerCount: Int, tokens: Int) {
    layers = [Layer](repeating: Layer(capacity: Self.capacity(tokens)), count: layerCount)
  }

  /// The bytes of a sequence that has all its tokens.
  static func byteCount(_ c: ModelConfiguration, tokens: Int) -> Int {
    2 * 4 * capacity(tokens) * c.layerCount * c.keyValueHeadCount * c.headSize
  }

  private static func capacity(_ tokens: Int) -> Int { (tokens + columns - 1) / columns * columns }
}
