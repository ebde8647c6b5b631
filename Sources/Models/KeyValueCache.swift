import Checkpoints
package import Kernels

/// The cached keys and values of one sequence, or the state of a recurrence, for every layer.
package struct KeyValueCache: Sendable {
  /// Keys and values of some tokens.
  enum Storage: Sendable {
    /// Keys `[key-value heads · headSize, room]`, each token a column, as products with queries read them;
    /// values `[room, key-value heads · headSize]`.
    case f32(keys: [Float], values: [Float])
    /// Keys and values `[room, key-value heads · headSize]`, rounded to bf16.
    case bf16(keys: [UInt8], values: [UInt8])

    /// The number of bytes.
    var byteCount: Int {
      switch self {
      case .f32(let keys, let values): 4 * (keys.count + values.count)
      case .bf16(let keys, let values): keys.count + values.count
      }
    }
  }

  /// The cached keys and values of one layer.
  package struct Layer: Sendable {
    /// The keys, rotated by position, and the values.
    fileprivate(set) var storage: Storage
    /// The state of a recurrence after the last token; empty before the first one.
    var state: [Float] = []
    /// The position of the first token that is kept, a multiple of `KeyValueCache.columns`.
    fileprivate(set) var firstToken = 0
    /// The number of tokens that fit from the first one on, a multiple of `KeyValueCache.columns`.
    package fileprivate(set) var room = 0
    /// The maximum number of tokens of a sequence, a multiple of `KeyValueCache.columns`.
    fileprivate let capacity: Int
    /// The number of keys that a query sees, its own included; nil for all of them.
    fileprivate let window: Int?

    /// Makes room for the keys and values of new tokens, after those already cached.
    ///
    /// Tokens that none of the new ones sees are dropped when there is no room.
    ///
    /// - Parameters:
    ///   - tokens: The positions of the new tokens, from the end of those that are cached.
    ///   - width: The width of the keys, and of the values.
    package mutating func reserve(_ tokens: Range<Int>, width: Int) {
      precondition(tokens.upperBound <= capacity, "no room for token \(tokens.upperBound - 1)")
      guard tokens.upperBound > firstToken + room else { return }
      let firstSeen = window.map { max(0, tokens.lowerBound - $0 + 1) } ?? 0
      let first = KeyValueCache.start(ofBlockWith: firstSeen)
      let needed = KeyValueCache.capacity(tokens.upperBound - first)
      let limit = KeyValueCache.room(window: window, newCount: tokens.count, capacity: capacity)
      // With less to spare, the kept tokens would be moved too often.
      let suffices = 4 * room >= 5 * needed
      move(
        first..<tokens.lowerBound, intoRoom: min(max(suffices ? room : 2 * room, needed), limit), width: width
      )
    }

    /// Keeps some of the tokens, in another room.
    private mutating func move(_ kept: Range<Int>, intoRoom more: Int, width: Int) {
      let start = kept.lowerBound - firstToken
      switch storage {
      case .f32(let keys, let values):
        var columns = [Float](repeating: 0, count: width * more)
        for i in 0..<width {
          let old = i * room + start
          columns.replaceSubrange(i * more..<i * more + kept.count, with: keys[old..<old + kept.count])
        }
        storage = .f32(
          keys: columns, values: Self.moved(values, start..<start + kept.count, width, intoRoom: more))
      case .bf16(let keys, let values):
        let (old, width) = (start..<start + kept.count, 2 * width)
        storage = .bf16(
          keys: Self.moved(keys, old, width, intoRoom: more),
          values: Self.moved(values, old, width, intoRoom: more))
      }
      (firstToken, room) = (kept.lowerBound, more)
    }

    /// Some rows, and zeros up to another number of rows.
    private static func moved<T: ExpressibleByIntegerLiteral>(
      _ elements: [T], _ kept: Range<Int>, _ width: Int, intoRoom room: Int
    ) -> [T] {
      var rows: [T] = []
      rows.reserveCapacity(width * room)
      rows += elements[kept.lowerBound * width..<kept.upperBound * width]
      rows += repeatElement(0, count: width * (room - kept.count))
      return rows
    }

    /// Sets the keys and values of one token, for which room was made.
    package mutating func set(_ token: Int, keys newKeys: Span<Float>, values newValues: Span<Float>) {
      let (place, room) = (token - firstToken, room)
      precondition((0..<room).contains(place), "no room for token \(token)")
      // The arrays leave the storage while they change, so that they are not copied.
      switch storage {
      case .f32(var keys, var values):
        storage = .f32(keys: [], values: [])
        var columns = keys.mutableSpan
        for i in newKeys.indices { columns[i * room + place] = newKeys[i] }
        let start = place * newValues.count
        var rows = values.mutableSpan
        for i in newValues.indices { rows[start + i] = newValues[i] }
        storage = .f32(keys: keys, values: values)
      case .bf16(var keys, var values):
        storage = .bf16(keys: [], values: [])
        Self.round(newKeys, intoRow: place, of: &keys)
        Self.round(newValues, intoRow: place, of: &values)
        storage = .bf16(keys: keys, values: values)
      }
    }

    private static func round(_ row: Span<Float>, intoRow place: Int, of bytes: inout [UInt8]) {
      var span = bytes.mutableSpan
      var target = span.slice(2 * place * row.count..<2 * (place + 1) * row.count)
      narrow(row, to: .bf16, into: &target)
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
  ///   - windows: The number of keys that a query sees in each layer; nil for all of them.
  ///   - tokens: The maximum number of tokens; memory is allocated as they are added.
  ///   - operands: What products round operands to; keys and values are kept as these.
  package init(windows: [Int?], tokens: Int, operands: ProductOperands = .f32) {
    let none: Storage =
      operands.onThisProcessor == .bf16 ? .bf16(keys: [], values: []) : .f32(keys: [], values: [])
    layers = windows.map { Layer(storage: none, capacity: Self.capacity(tokens), window: $0) }
  }

  /// The number of keys that a query sees in each layer, or in one that borrows the layer's keys, if that is
  /// more.
  static func windows(_ c: ModelConfiguration) -> [Int?] {
    var windows = [Int?](repeating: nil, count: c.layerCount)
    for (index, layer) in c.description.layers.enumerated() {
      for case .attention(let attention) in layer.parts.flatMap(\.operations) {
        guard case .borrows(let lender, _) = attention.sharing else {
          windows[index] = attention.window
          continue
        }
        windows[lender] = windows[lender].flatMap { own in attention.window.map { max(own, $0) } }
      }
    }
    return windows
  }

  /// The bytes of a sequence at its full length.
  static func byteCount(_ c: ModelConfiguration, tokens: Int, operands: ProductOperands) -> Int {
    let width = operands.onThisProcessor == .bf16 ? 2 : 4
    // If the length decides how queries and keys turn, the whole sequence is computed at once.
    let newCount = c.turnsByLength(upTo: tokens) ? tokens : min(tokens, Decoder.promptBlock)
    return zip(c.description.layers, windows(c)).reduce(0) { sum, layer in
      let room = room(window: layer.1, newCount: newCount, capacity: capacity(tokens))
      return layer.0.parts.lazy.flatMap(\.operations).reduce(sum) { sum, operation in
        switch operation {
        case .attention(let attention):
          sum + (attention.borrowsKeys ? 0 : 2 * width * room * attention.keyValueWidth)
        case .recurrence(let recurrence): sum + 4 * recurrence.stateCount
        default: sum
        }
      }
    }
  }

  private static func capacity(_ tokens: Int) -> Int { (tokens + columns - 1) / columns * columns }

  /// The largest room for a layer: all tokens, or those in the windows of some new ones and a quarter more.
  private static func room(window: Int?, newCount: Int, capacity: Int) -> Int {
    guard let window, window < capacity else { return capacity }
    return min(capacity, Self.capacity((window + newCount + columns) * 5 / 4))
  }
}

extension Transformer {
  /// The bytes of the keys and values of a sequence at its full length.
  func keyValueBytes(tokens: Int) -> Int {
    KeyValueCache.byteCount(configuration, tokens: tokens, operands: operands)
  }
}
