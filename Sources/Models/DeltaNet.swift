package import Checkpoints
import Foundation
package import Kernels

/// A gated delta net, forward and backward.
///
/// Its input has queries, keys, values, gates, then a rate and a step for each value head.
package struct DeltaNet: Recurrence {
  /// Added to the sum of squares of queries and of keys before taking its root.
  static let lengthEpsilon: Float = 1e-6

  let description: DeltaNetDescription
  let convolution: CausalConvolution
  /// The speed with which each head forgets, `[value heads]`.
  let forgetting: [Float]
  /// `[value heads]`.
  let stepBias: [Float]
  let norm: Norm

  /// Takes the weights of a layer.
  package init(_ description: DeltaNetDescription, of layer: Transformer.DecoderLayer) {
    self.description = description
    convolution = CausalConvolution(
      taps: layer[vector: description.convolution], tapCount: description.tapCount)
    forgetting = layer[vector: description.logDecay].map { exp($0) }
    stepBias = layer[vector: description.stepBias]
    norm = layer[norm: description.norm]
  }

  package var outputWidth: Int { description.valueWidth }

  package func forward(_ x: Matrix, state: inout [Float]) -> Matrix {
    if state.isEmpty { state = [Float](repeating: 0, count: description.stateCount) }
    var history = Array(state[..<convolution.historyCount])
    let mixed = activated(convolution.forward(x, history: &history))
    let (earlier, size) = (state, description.keyHeadSize * description.valueHeadSize)
    let results = parallelMap(description.valueHeadCount) { index in
      let start = convolution.historyCount + index * size
      var state = Array(earlier[start..<start + size])
      let head = DeltaNetHead(index, of: self, mixed: mixed, x)
      return (result: head.forward(state: &state), state: state)
    }
    state = history + results.flatMap(\.state)
    return gated(heads: sideBySide(results.map(\.result)), x)
  }

  /// Applies the activation of the convolution.
  private func activated(_ convolved: Matrix) -> Matrix {
    var result = Matrix.unspecified(rows: convolved.rowCount, columns: convolved.columnCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: convolved.columnCount, rowsPerChunk: 16) { rows, part in
      let elements = rows.lowerBound * convolved.columnCount..<rows.upperBound * convolved.columnCount
      activate(.silu, convolved.values.span.extracting(elements), into: &part)
    }
    return result
  }

  /// Puts the results of the heads, `[tokens, valueHeadSize]` each, side by side.
  private func sideBySide(_ heads: [Matrix]) -> Matrix {
    var result = Matrix.unspecified(rows: heads[0].rowCount, columns: description.valueWidth)
    let (width, size) = (description.valueWidth, description.valueHeadSize)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        for (index, head) in heads.enumerated() {
          let source = head.values.span.extracting(head.row(row))
          for j in 0..<size { part[i * width + index * size + j] = source[j] }
        }
      }
    }
    return result
  }

  /// Normalizes the results of the heads and multiplies them by `silu(gate)`.
  private func gated(heads: Matrix, _ x: Matrix) -> Matrix {
    let width = description.valueWidth
    let normalized = normalized(heads)
    var result = Matrix.unspecified(rows: x.rowCount, columns: width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part.slice(i * width..<(i + 1) * width)
        activate(
          .silu, gate: x.values.span.extracting(gates(row, x)),
          up: normalized.values.span.extracting(normalized.row(row)), into: &target)
      }
    }
    return result
  }

  /// Normalizes the results of each head.
  private func normalized(_ heads: Matrix) -> Matrix {
    var result = heads
    norm.apply(to: &result, columns: 0..<description.valueWidth)
    return result
  }

  /// The elements of a token's gates.
  private func gates(_ row: Int, _ x: Matrix) -> Range<Int> {
    let start = row * x.columnCount + description.channelCount
    return start..<start + description.valueWidth
  }
}

extension DeltaNet {
  package func backward(_ x: Matrix, gradient: Matrix) -> Matrix {
    var history = [Float](repeating: 0, count: convolution.historyCount)
    let convolved = convolution.forward(x, history: &history)
    let mixed = activated(convolved)
    let heads = parallelMap(description.valueHeadCount) { index in
      DeltaNetHead(index, of: self, mixed: mixed, x)
    }
    let states = parallelMap(heads.count) { heads[$0].forwardKeepingStates() }
    let results = sideBySide(states.map(\.result))
    let (headGradient, gateGradient) = gatedBackward(heads: results, x, gradient)
    let parts = parallelMap(heads.count) { heads[$0].backward(from: states[$0].states, headGradient) }
    let channels = convolution.backward(convolvedGradient(parts, convolved))
    return inputGradient(channels: channels, gates: gateGradient, parts)
  }

  /// Computes the gradients of the heads' results and of the gates, `[tokens, valueWidth]` each.
  private func gatedBackward(
    heads: Matrix, _ x: Matrix, _ gradient: Matrix
  ) -> (heads: Matrix, gates: Matrix) {
    let width = description.valueWidth
    let normalized = normalized(heads)
    var both = Matrix.unspecified(rows: x.rowCount, columns: 2 * width)
    var values = both.values.mutableSpan
    parallelRows(of: &values, columnCount: 2 * width, rowsPerChunk: 16) { rows, part in
      ScratchPool.shared.withScratch(width) { gateGradient in
        for (i, row) in rows.enumerated() {
          var normGradient = part.slice(2 * i * width..<(2 * i + 1) * width)
          activateBackward(
            .silu, gate: x.values.span.extracting(gates(row, x)),
            up: normalized.values.span.extracting(normalized.row(row)),
            gradient: gradient.values.span.extracting(gradient.row(row)), gateGradient: &gateGradient,
            upGradient: &normGradient)
          for j in 0..<width { part[(2 * i + 1) * width + j] = gateGradient[j] }
        }
      }
    }
    var headGradient = both.selectingColumns([0..<width])
    norm.replaceGradient(heads, columns: 0..<width, &headGradient)
    return (headGradient, both.selectingColumns([width..<2 * width]))
  }

  /// Computes the gradient of the convolution's result; heads that read the same queries and keys add theirs.
  private func convolvedGradient(_ heads: [DeltaNetHead.Gradients], _ convolved: Matrix) -> Matrix {
    let d = description
    var result = Matrix(rows: convolved.rowCount, columns: d.channelCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: d.channelCount, rowsPerChunk: 16) { rows, part in
      ScratchPool.shared.withScratch(d.channelCount) { sum in
        for (i, row) in rows.enumerated() {
          for j in sum.indices { sum[j] = 0 }
          for (index, head) in heads.enumerated() {
            let places = d.columns(ofHead: index)
            for (gradient, columns) in [
              (head.queries, places.query), (head.keys, places.key), (head.values, places.value),
            ] {
              var target = sum.slice(columns)
              addScaled(gradient.values.span.extracting(gradient.row(row)), to: &target)
            }
          }
          var target = part.slice(i * d.channelCount..<(i + 1) * d.channelCount)
          activateBackward(
            .silu, convolved.values.span.extracting(convolved.row(row)), gradient: sum.span, into: &target)
        }
      }
    }
    return result
  }

  /// Puts the gradients of all inputs side by side, `[tokens, inputWidth]`.
  private func inputGradient(
    channels: Matrix, gates: Matrix, _ heads: [DeltaNetHead.Gradients]
  ) -> Matrix {
    let d = description
    var result = Matrix.unspecified(rows: channels.rowCount, columns: d.inputWidth)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: d.inputWidth, rowsPerChunk: 16) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part.slice(i * d.inputWidth..<(i + 1) * d.inputWidth)
        var column = 0
        for source in [channels, gates] {
          let from = source.values.span.extracting(source.row(row))
          for j in from.indices { target[column + j] = from[j] }
          column += source.columnCount
        }
        for (index, head) in heads.enumerated() {
          target[column + index] = head.rates[row]
          target[column + d.valueHeadCount + index] = head.steps[row]
        }
      }
    }
    return result
  }
}

extension DeltaNetDescription {
  /// The columns of the convolution's result that a value head reads.
  func columns(ofHead index: Int) -> (query: Range<Int>, key: Range<Int>, value: Range<Int>) {
    let start = index / (valueHeadCount / keyHeadCount) * keyHeadSize
    let value = 2 * keyWidth + index * valueHeadSize
    return (
      start..<start + keyHeadSize, keyWidth + start..<keyWidth + start + keyHeadSize,
      value..<value + valueHeadSize
    )
  }
}
