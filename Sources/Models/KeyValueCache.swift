import Checkpoints

/// The cached keys and values of one sequence, or the state of a recurrence, for every layer.
package struct KeyValueCache: Sendable {
  /// The cached keys and values of one layer.
  package struct Layer: Sendable {
    /// `[key-value heads · headSize, room]`, rotated by position.
    ///
    /// Each token is a column, as products with queries read them.
    fileprivate(set) var keys: [Float] = []
    /// `[room, key-value heads · headSize]`.
    fileprivate(set) var values: [Float] = []
    /// The state of a recurrence after the last token; empty before the first one.
    var state: [Float] = []
    /// The number of tokens that fit without growing, a multiple of `KeyValueCache.columns`.
    fileprivate(set) var room = 0
    /// The maximum number of tokens the cache can hold, a multiple of `KeyValueCache.columns`.
    fileprivate let capacity: Int

    /// Sets the keys and values of one token, after those already cached.
    package mutating func set(_ token: Int, keys newKeys: Span<Float>, values newValues: Span<Float>) {
      precondition(token < capacity, "no room for token \(token)")
      if token >= room { grow(width: newKeys.count) }
      let room = room
      var columns = keys.mutableSpan
      for i in newKeys.indices { columns[i * room + token] = newKeys[i] }
      let start = token * newValues.count
      var rows = values.mutableSpan
      for i in newValues.indices { rows[start + i] = newValues[i] }
    }

    /// Doubles the room, up to the capacity.
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

  /// The number of tokens that a product with keys processes at a time.
  static let columns = 32

  /// The first token of the block that a token belongs to.
  static func start(ofBlockWith token: Int) -> Int { token / columns * columns }

  /// The end of the block that a token belongs to.
  static func end(ofBlockWith token: Int) -> Int { start(ofBlockWith: token) + columns }

  /// The keys and values of each layer.
  package internal(set) var layers: [Layer]
  /// The number of tokens cached in every layer.
  package internal(set) var tokenCount = 0

  /// Creates an empty sequence.
  ///
  /// - Parameters:
  ///   - layerCount: The number of layers of the model.
  ///   - tokens: The maximum number of tokens; memory is allocated as they are added.
  package init(layerCount: Int, tokens: Int) {
    layers = [Layer](repeating: Layer(capacity: Self.capacity(tokens)), count: layerCount)
  }

  /// The bytes of a sequence at its full length.
  static func byteCount(_ c: ModelConfiguration, tokens: Int) -> Int {
    let operations = c.description.layers.lazy.flatMap(\.parts).flatMap(\.operations)
    return operations.reduce(0) { sum, operation in
      switch operation {
      case .attention(let attention): sum + 2 * 4 * capacity(tokens) * attention.keyValueWidth
      case .recurrence(let recurrence): sum + 4 * recurrence.stateCount
      default: sum
      }
    }
  }

  private static func capacity(_ tokens: Int) -> Int { (tokens + columns - 1) / columns * columns }
}
