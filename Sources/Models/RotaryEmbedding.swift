package import Checkpoints
import Foundation
package import Kernels

/// The cosines and sines, by position, that rotate queries and keys.
///
/// Source: RoFormer, arXiv:2104.09864.
package struct RotaryEmbedding: Sendable {
  private static let rowsPerChunk = 32

  /// The heads, and what turns of them.
  package let description: RotaryDescription
  /// The number of positions.
  package let positionCount: Int
  /// Half the number of columns of a head that turn.
  package let half: Int
  /// `[positions, half]`, times the amplitude.
  package let cosines: [Float]
  /// `[positions, half]`, times the amplitude.
  package let sines: [Float]
  /// The factor of the queries by position; empty without growth.
  private let queryFactors: [Float]

  /// Tabulates positions `0..<positionCount`.
  ///
  /// - Parameters:
  ///   - description: The heads, and how they turn.
  ///   - positionCount: The number of positions.
  ///   - sequenceLength: The length of the whole sequence, on which the angles of some models depend; by
  ///     default `positionCount`.
  package init(_ description: RotaryDescription, positionCount: Int, sequenceLength: Int? = nil) {
    self.description = description
    self.positionCount = positionCount
    half = description.turnedCount / 2
    let frequencies = description.parameters.frequencies(
      turnedCount: description.turnedCount, sequenceLength: sequenceLength ?? positionCount)
    let amplitude = Float(description.parameters.amplitude)
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positionCount * half)
    sines.reserveCapacity(positionCount * half)
    for position in 0..<positionCount {
      for frequency in frequencies {
        // The angle is rounded to f32 before its cosine is taken, as the reference does.
        let angle = Float(position) * frequency
        cosines.append(cos(angle) * amplitude)
        sines.append(sin(angle) * amplitude)
      }
    }
    self.cosines = cosines
    self.sines = sines
    queryFactors = description.queryGrowth.map { growth in (0..<positionCount).map(growth.factor(at:)) } ?? []
  }

  /// Turns queries and keys by their positions, or their gradients back.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, columns]`, a whole window from its first token; queries come first, then keys.
  ///   - inverse: Whether to apply the transpose, as for gradients: it turns back, but multiplies by amplitude
  ///     and growth, too.
  package func turn(_ qkv: inout Matrix, inverse: Bool) {
    precondition(positionCount >= qkv.rowCount, "\(positionCount) positions, \(qkv.rowCount) tokens")
    let columnCount = qkv.columnCount
    var values = qkv.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      for (i, position) in rows.enumerated() {
        var row = part.slice(i * columnCount..<(i + 1) * columnCount)
        turn(&row, position: position, inverse: inverse)
      }
    }
  }

  /// Turns the queries and keys of one token.
  ///
  /// - Parameters:
  ///   - row: `[columns]`, queries first, then keys; further columns stay.
  ///   - position: The position of the token in its sequence.
  package func turn(_ row: inout MutableSpan<Float>, position: Int) {
    turn(&row, position: position, inverse: false)
  }

  private func turn(_ row: inout MutableSpan<Float>, position: Int, inverse: Bool) {
    let queries = description.queryHeadCount * description.headSize
    var heads = row.slice(0..<queries + description.keyHeadCount * description.headSize)
    rotate(&heads, position: position, inverse: inverse)
    guard !queryFactors.isEmpty else { return }
    let factor = queryFactors[position]
    for i in 0..<queries { heads[i] *= factor }
  }

  /// Turns all heads of a row.
  func rotate(_ heads: inout MutableSpan<Float>, position: Int, inverse: Bool) {
    precondition(position < positionCount, "position \(position) of \(positionCount)")
    let angles = position * half..<(position + 1) * half
    let (cosines, sines) = (cosines.span.extracting(angles), sines.span.extracting(angles))
    switch description.pairing {
    case .halves:
      Kernels.rotate(
        &heads, headSize: description.headSize, cosines: cosines, sines: sines, inverse: inverse)
    case .neighbours:
      rotateNeighbours(
        &heads, headSize: description.headSize, cosines: cosines, sines: sines, inverse: inverse)
    }
  }
}

extension RotaryDescription.QueryGrowth {
  /// The factor of the queries at a position, rounded as transformers does.
  fileprivate func factor(at position: Int) -> Float {
    1 + Float(beta) * log(1 + (Float(position) / Float(context)).rounded(.down))
  }
}
