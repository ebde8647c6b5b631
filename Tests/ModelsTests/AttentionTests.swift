import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing

@Suite struct AttentionTests {
  /// More than two blocks of queries.
  private static let tokens = 150
  /// Products of up to 150 terms near 1, in f32.
  private static let tolerance: Float = 2e-5

  /// A variant of attention.
  struct Kind: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var scale: Float?
    var cap: Float?
    var window: Int?
    var hasSinks = false

    var attention: Attention {
      var description = AttentionDescription(headCount: 2, keyValueHeadCount: 1, headSize: 6)
      description.scale = scale ?? description.scale
      description.scoreCap = cap
      description.window = window
      return Attention(description, sinks: hasSinks ? [-2, 3] : [])
    }
  }

  static let kinds: [Kind] =
    [
      Kind(testDescription: "plain"), Kind(testDescription: "scale", scale: 1),
      Kind(testDescription: "cap", scale: 2, cap: 1.5), Kind(testDescription: "sinks", hasSinks: true),
      Kind(testDescription: "all", scale: 1, cap: 2, window: 40, hasSinks: true),
    ]
    + [1, 5, 32, 33, 128, 149, 150, 1000].map { (width: Int) in
      Kind(testDescription: "window of \(width)", window: width)
    }

  private func matrix(columns: Int, seed: UInt64) -> Matrix {
    var random = SplitMix64(seed: seed)
    let values = (0..<Self.tokens * columns).map { _ in Float.random(in: -1...1, using: &random) }
    return Matrix(rows: Self.tokens, columns: columns, values: values)
  }

  /// The definition, query by query in double precision.
  private func values(_ attention: Attention, _ qkv: [Double], columns: Int) -> [Double] {
    let d = attention.description
    var output: [Double] = []
    for token in 0..<Self.tokens {
      let first = d.window.map { max(0, token - $0 + 1) } ?? 0
      for head in 0..<d.headCount {
        let query = token * columns + head * d.headSize
        let shared = head / (d.headCount / d.keyValueHeadCount) * d.headSize
        var scores = (first...token).map { key in
          var sum = 0.0
          for j in 0..<d.headSize {
            sum += qkv[query + j] * qkv[key * columns + d.queryWidth + shared + j]
          }
          let score = sum * Double(d.scale)
          return d.scoreCap.map { Double($0) * tanh(score / Double($0)) } ?? score
        }
        if !attention.sinks.isEmpty { scores.append(Double(attention.sinks[head])) }
        let exponentials = scores.map(exp)
        let sum = exponentials.reduce(0, +)
        for j in 0..<d.headSize {
          let column = d.queryWidth + d.keyValueWidth + shared + j
          output.append(
            (first...token).reduce(0) { $0 + exponentials[$1 - first] * qkv[$1 * columns + column] } / sum)
        }
      }
    }
    return output
  }

  @Test(arguments: kinds, [0, 5])
  func `computes what the definition says, whatever stands in further columns`(kind: Kind, further: Int) {
    let attention = kind.attention
    let columns = attention.inputWidth + further
    let qkv = matrix(columns: columns, seed: 1)
    let expected = values(attention, qkv.values.map(Double.init), columns: columns)
    let actual = attention.forward(qkv)
    #expect(actual.columnCount == attention.description.queryWidth)
    for (a, b) in zip(actual.values, expected) { #expect(abs(a - Float(b)) < Self.tolerance) }
  }

  @Test(arguments: kinds)
  func `the gradient is the slope of the definition`(kind: Kind) {
    let attention = kind.attention
    let columns = attention.inputWidth + 2
    let qkv = matrix(columns: columns, seed: 1)
    let gradient = matrix(columns: attention.description.queryWidth, seed: 2)
    let slopes = attention.backward(qkv, gradient: gradient)
    #expect(slopes.columnCount == attention.inputWidth)
    func loss(_ qkv: [Double]) -> Double {
      zip(values(attention, qkv, columns: columns), gradient.values).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let x = qkv.values.map(Double.init)
    // In the queries, keys and values of some tokens, and everywhere at once.
    for direction in 0..<4 {
      let along = matrix(columns: columns, seed: UInt64(10 + direction))
      let token = direction * 60
      func isIn(_ row: Int, _ column: Int) -> Bool {
        column < attention.inputWidth && (direction == 3 || row == token)
      }
      let step = 1e-4
      var (above, below, expected) = (x, x, 0.0)
      for row in 0..<Self.tokens {
        for column in 0..<columns where isIn(row, column) {
          let i = row * columns + column
          above[i] += step * Double(along.values[i])
          below[i] -= step * Double(along.values[i])
          expected += Double(slopes.values[row * slopes.columnCount + column]) * Double(along.values[i])
        }
      }
      let change = (loss(above) - loss(below)) / (2 * step)
      #expect(abs(change - expected) < 2e-5 * Double(direction == 3 ? Self.tokens : 10))
    }
  }

  @Test(arguments: kinds)
  func `with rounded operands the results are close`(kind: Kind) {
    var attention = kind.attention
    let qkv = matrix(columns: attention.inputWidth, seed: 1)
    let gradient = matrix(columns: attention.description.queryWidth, seed: 2)
    let (exact, exactSlopes) = (attention.forward(qkv), attention.backward(qkv, gradient: gradient))
    attention.operands = .bf16
    let (rounded, roundedSlopes) = (attention.forward(qkv), attention.backward(qkv, gradient: gradient))
    // A product of rounded operands is 0.002 off, and several follow each other.
    #expect(relativeError(rounded.values, exact.values) < 0.01)
    #expect(relativeError(roundedSlopes.values, exactSlopes.values) < 0.02)
  }

  @Test(arguments: kinds, [1, 64, 150])
  func `cached keys give what the window gives`(kind: Kind, step: Int) {
    expectCachedKeys(kind, step: step, operands: .f32, tolerance: Self.tolerance)
  }

  /// Queries, keys, probabilities and values are each 0.002 off.
  @Test(arguments: kinds, [1, 64, 150])
  func `keys and values that are kept as bf16 give nearly the same`(kind: Kind, step: Int) {
    expectCachedKeys(kind, step: step, operands: .bf16, tolerance: 0.02)
  }

  private func expectCachedKeys(_ kind: Kind, step: Int, operands: ProductOperands, tolerance: Float) {
    let attention = kind.attention
    let d = attention.description
    let qkv = matrix(columns: attention.inputWidth + 3, seed: 1)
    let expected = attention.forward(qkv)
    var cache = KeyValueCache(windows: [kind.window], tokens: Self.tokens, operands: operands).layers[0]
    for start in stride(from: 0, to: Self.tokens, by: step) {
      let rows = start..<min(start + step, Self.tokens)
      cache.reserve(rows, width: d.keyValueWidth)
      for row in rows {
        let keys = row * qkv.columnCount + d.queryWidth
        cache.set(
          row, keys: qkv.values.span.extracting(keys..<keys + d.keyValueWidth),
          values: qkv.values.span.extracting(keys + d.keyValueWidth..<keys + 2 * d.keyValueWidth))
      }
      let new = Matrix(
        rows: rows.count, columns: qkv.columnCount,
        values: Array(qkv.values[rows.lowerBound * qkv.columnCount..<rows.upperBound * qkv.columnCount]))
      let actual = attention.forward(
        new, over: [CachedQueries(rows: 0..<rows.count, firstPosition: start, cache: cache)])
      for (a, b) in zip(
        actual.values, expected.values[rows.lowerBound * d.queryWidth..<rows.upperBound * d.queryWidth])
      {
        #expect(abs(a - b) < tolerance)
      }
    }
  }

  /// Blocks of 32 tokens: the window, the new ones, a block at whose end it may begin, and a quarter more.
  @Test(arguments: [(5, 1, 64), (5, 64, 128), (40, 1, 96), (1000, 1, 160), (nil, 1, 160)])
  func `a cache keeps the tokens of a window only`(window: Int?, step: Int, room: Int) {
    var cache = KeyValueCache(windows: [window], tokens: Self.tokens).layers[0]
    var rooms: Set<Int> = []
    for start in stride(from: 0, to: Self.tokens, by: step) {
      cache.reserve(start..<min(start + step, Self.tokens), width: 3)
      rooms.insert(cache.room)
    }
    #expect(rooms.max() == room)
  }

  @Test func `keys outside the window take no part`() {
    let attention = Kind(testDescription: "", window: 40).attention
    var qkv = matrix(columns: attention.inputWidth, seed: 1)
    let expected = attention.forward(qkv)
    for i in 0..<100 * qkv.columnCount { qkv.values[i] = 1e20 }
    let actual = attention.forward(qkv)
    let rest = 139 * attention.description.queryWidth..<actual.values.count
    for (a, b) in zip(actual.values[rest], expected.values[rest]) { #expect(abs(a - b) < Self.tolerance) }
  }
}
