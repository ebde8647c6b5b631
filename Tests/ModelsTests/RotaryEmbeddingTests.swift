import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing

@Suite struct RotaryEmbeddingTests {
  private static let headSize = 16
  /// Queries of two heads, keys of one, and columns that never turn.
  private static let columnCount = 4 * headSize + 3
  private static let tokens = 40
  /// A few roundings of f32.
  private static let tolerance: Float = 1e-6

  private func description(
    turnedCount: Int = headSize, _ scaling: RotaryParameters.Scaling? = nil
  ) -> RotaryDescription {
    RotaryDescription(
      AttentionDescription(headCount: 2, keyValueHeadCount: 1, headSize: Self.headSize),
      turnedCount: turnedCount, parameters: RotaryParameters(theta: 100, scaling: scaling))
  }

  /// Tables of every shape that a family has.
  private var descriptions: [RotaryDescription] {
    var neighbours = description(turnedCount: 10)
    neighbours.pairing = .neighbours
    var growing = description(.yarn(YarnScaling(factor: 4, originalContext: 16)))
    growing.queryGrowth = .init(beta: 0.5, context: 8)
    return [
      description(), description(turnedCount: 6), description(turnedCount: 0), neighbours, growing,
      description(.proportional(ProportionalScaling(share: 0.5))),
    ]
  }

  private func matrix(seed: UInt64) -> Matrix {
    var random = SplitMix64(seed: seed)
    let values = (0..<Self.tokens * Self.columnCount).map { _ in Float.random(in: -1...1, using: &random) }
    return Matrix(rows: Self.tokens, columns: Self.columnCount, values: values)
  }

  /// The definition, pair by pair in double precision.
  private func turned(_ x: Matrix, _ description: RotaryDescription) -> Matrix {
    var x = x
    let frequencies = description.parameters.frequencies(turnedCount: description.turnedCount)
    let half = description.turnedCount / 2
    for position in 0..<x.rowCount {
      for head in 0..<3 {
        var factor = 1.0
        if let growth = description.queryGrowth, head < 2 {
          factor = 1 + growth.beta * log(1 + floor(Double(position) / Double(growth.context)))
        }
        let start = position * x.columnCount + head * description.headSize
        for j in 0..<description.headSize {
          x.values[start + j] = Float(factor * Double(x.values[start + j]))
        }
        for j in 0..<half {
          let isHalves = description.pairing == .halves
          let (i, k) = isHalves ? (start + j, start + j + half) : (start + 2 * j, start + 2 * j + 1)
          let angle = Double(Float(position) * frequencies[j])
          let (a, b) = (Double(x.values[i]), Double(x.values[k]))
          let amplitude = description.parameters.amplitude
          x.values[i] = Float(amplitude * (a * cos(angle) - b * sin(angle)))
          x.values[k] = Float(amplitude * (b * cos(angle) + a * sin(angle)))
        }
      }
    }
    return x
  }

  @Test func `turns queries and keys as the definition does, and nothing else`() {
    let x = matrix(seed: 1)
    for description in descriptions {
      var actual = x
      RotaryEmbedding(description, positionCount: Self.tokens).turn(&actual, inverse: false)
      let expected = turned(x, description)
      for (a, b) in zip(actual.values, expected.values) { #expect(abs(a - b) <= 4 * Self.tolerance) }
      for row in 0..<Self.tokens {
        let rest = row * Self.columnCount + 3 * Self.headSize..<(row + 1) * Self.columnCount
        #expect(actual.values[rest] == x.values[rest])
      }
    }
  }

  @Test func `a token alone turns as in its window, bit by bit`() {
    let x = matrix(seed: 1)
    for description in descriptions {
      let rotary = RotaryEmbedding(description, positionCount: Self.tokens)
      var (whole, single) = (x, x)
      rotary.turn(&whole, inverse: false)
      for position in 0..<Self.tokens {
        var values = single.values.mutableSpan
        var row = values.slice(position * Self.columnCount..<(position + 1) * Self.columnCount)
        rotary.turn(&row, position: position)
      }
      #expect(whole == single)
    }
  }

  @Test func `gradients turn by the transpose`() {
    let (x, gradient) = (matrix(seed: 1), matrix(seed: 2))
    for description in descriptions {
      let rotary = RotaryEmbedding(description, positionCount: Self.tokens)
      var (turned, back) = (x, gradient)
      rotary.turn(&turned, inverse: false)
      rotary.turn(&back, inverse: true)
      for row in 0..<Self.tokens {
        // gradient · turned = back · x.
        let range = x.row(row)
        let there = zip(gradient.values[range], turned.values[range]).map(*).reduce(0, +)
        let here = zip(back.values[range], x.values[range]).map(*).reduce(0, +)
        #expect(abs(there - here) < 20 * Self.tolerance)
      }
    }
  }

  @Test func `a longer sequence has other angles if the wavelengths depend on it`() {
    let dynamic = description(.dynamic(DynamicScaling(factor: 4, context: 16)))
    let short = RotaryEmbedding(dynamic, positionCount: 16)
    let long = RotaryEmbedding(dynamic, positionCount: 16, sequenceLength: 20)
    #expect(short.cosines != long.cosines)
    #expect(RotaryEmbedding(dynamic, positionCount: 20).cosines.starts(with: long.cosines))
    #expect(short.cosines == RotaryEmbedding(description(), positionCount: 16).cosines)
  }
}
