import Checkpoints
import Kernels
import Models

/// Measures the effect on the residual stream when one linear is quantized, with windows of a text.
///
/// The windows run through the original model. A linear's loss is the relative squared error of its outputs
/// when the clip search quantizes it alone, times a weight: the share of its part of the layer, attention or
/// feed-forward, in the residual stream after that part. This share is the mean over the tokens of `|added|²
/// / |residual|²`. All linears of a part therefore have the same weight, and a part that hardly changes the
/// stream counts little. The head's share is 1.
struct Sensitivity {
  private let grids: [String: QuantizationGrid]
  private var walk: LayerWalk
  private let progress: ProgressHandler
  private var done = 0
  /// The losses of each module for each of `BitAllocation.widths`.
  private(set) var losses: [String: [Double]] = [:]

  /// - Parameters:
  ///   - grids: Group size and tables of every module to measure; the bits are ignored.
  ///   - model: The original model.
  ///   - tokens: Windows of the text.
  ///   - progress: Called after each linear.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(
    _ grids: [String: QuantizationGrid], model: Transformer, tokens: [[Int32]],
    progress: @escaping ProgressHandler
  ) throws {
    self.grids = grids
    self.progress = progress
    walk = try LayerWalk(model, tokens)
  }

  /// Measures every module that the text reaches.
  mutating func measure() throws {
    let model = walk.model
    for index in model.layers.indices { try measure(layer: index) }
    guard model.hasOwnHead else { return }
    walk.haltBeforeHead()
    losses.merge(try relativeErrors(of: model.head.linears)) { _, new in new }
  }

  private mutating func measure(layer index: Int) throws {
    let layer = walk.model.layers[index]
    for (number, part) in layer.description.parts.enumerated() {
      let before = walk.windows.map(\.hidden)
      var errors: [String: [Double]] = [:]
      for group in part.groups {
        walk.advance(layer: index, to: .before(group))
        errors.merge(try relativeErrors(of: layer[group].linears)) { _, new in new }
      }
      walk.advance(layer: index, to: .afterPart(number))
      let share = addedShare(since: before)
      for (name, relative) in errors { losses[name] = relative.map { $0 * share } }
    }
  }

  /// Returns the mean share of the added values in the current residual stream.
  private func addedShare(since before: [Matrix]) -> Double {
    let shares = zip(before, walk.windows).map { before, window in
      var added = window.hidden
      var span = added.values.mutableSpan
      addScaled(before.values.span, scale: -1, to: &span)
      return (0..<added.rowCount).reduce(0.0) { sum, token in
        let part = Double(sumOfSquares(added.values.span.extracting(added.row(token))))
        let whole = Double(sumOfSquares(window.hidden.values.span.extracting(added.row(token))))
        return sum + part / max(whole, .leastNormalMagnitude)
      } / Double(added.rowCount)
    }
    return shares.reduce(0, +) / Double(max(shares.count, 1))
  }

  /// Returns the relative squared output errors of the linears that the windows are paused before.
  private mutating func relativeErrors(of linears: [Linear]) throws -> [String: [Double]] {
    let chosen = linears.filter { grids[$0.name] != nil }
    var errors: [String: [Double]] = [:]
    guard let first = chosen.first else { return errors }
    let moments = try walk.moments(named: first.name, beside: nil).own
    let (means, importance) = (moments.means.map { Float($0) }, moments.importance)
    for linear in chosen {
      guard let grid = grids[linear.name] else { continue }
      errors[linear.name] = try BitAllocation.widths.map { bits in
        let search = ClipSearch(grid: grid.with(bits: bits), importance: importance)
        let packed = try search.quantize(linear.weight, name: linear.name + ".weight")
        var error = OutputError()
        error.add(of: linear.weight.replaced(by: packed, on: search.grid), to: linear.weight, means: means)
        return error.relative * error.relative
      }
      done += 1
      progress(Progress(phase: "sensitivity", completed: done, total: grids.count, detail: linear.name))
    }
    return errors
  }
}

extension QuantizationGrid {
  /// Returns the grid with another number of bits.
  func with(bits: Int) -> QuantizationGrid {
    QuantizationGrid(bits: bits, groupSize: groupSize, tables: tables)
  }
}
