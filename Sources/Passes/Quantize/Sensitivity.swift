import Checkpoints
import Kernels
import Models

/// Measures the effect on the residual stream when one linear is quantized, with windows of a text.
///
/// The windows run through the original model. A linear's loss is the relative squared error of its outputs
/// when the clip search quantizes it alone, times a weight: the share of its part of the layer, attention or
/// feed-forward, in the residual stream after that part. This share is the mean over the tokens of `|added|²
/// / |residual|²`. All linears of a part therefore have the same weight, and a part that hardly changes the
/// stream counts little. The share of the head is 1, and so is that of an embedding that is the head. An expert counts with its share of the tokens that are sent to
/// experts; one that no token reaches has the error of its weight.
struct Sensitivity {
  private let choices: [String: [QuantizationGrid]]
  private var walk: LayerWalk
  private let progress: ProgressHandler
  private var done = 0
  /// The losses of each module, one for each of its choices.
  private(set) var losses: [String: [Double]] = [:]

  /// - Parameters:
  ///   - choices: The grids to measure for every module.
  ///   - model: The original model.
  ///   - tokens: Windows of the text.
  ///   - group: The processes that share the windows.
  ///   - progress: Called after each linear.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(
    _ choices: [String: [QuantizationGrid]], model: Transformer, tokens: [[Int32]],
    group: any ProcessGroup = SingleProcess(), progress: @escaping ProgressHandler
  ) throws {
    self.choices = choices
    self.progress = progress
    walk = try LayerWalk(model, tokens, over: group)
  }

  /// Measures every module that the text reaches.
  mutating func measure() throws {
    let model = walk.model
    for index in model.layers.indices { try measure(layer: index) }
    walk.haltBeforeHead()
    var heads = model.head.linears
    if !model.hasOwnHead { heads.append(Linear(name: model.embeddingName, weight: model.embedding)) }
    losses.merge(try relativeErrors(of: heads)) { _, new in new }
  }

  private mutating func measure(layer index: Int) throws {
    let layer = walk.model.layers[index]
    var groups: [LinearGroupKind] = []
    for (number, part) in layer.description.parts.enumerated() {
      groups += part.groups
      // What is held reaches the stream with the next part.
      guard !part.isHeld else { continue }
      defer { groups = [] }
      let before = walk.windows.map(\.hidden)
      var errors: [String: [Double]] = [:]
      var tokenCounts: [LinearGroupKind: Int] = [:]
      for group in groups {
        walk.advance(layer: index, to: .before(group))
        errors.merge(try relativeErrors(of: layer[group].linears)) { _, new in new }
        guard group.expert != nil else { continue }
        let own = walk.windows.indices.reduce(0) { $0 + (walk.tokens(ofWindow: $1)?.count ?? 0) }
        tokenCounts[group] = Int(try walk.group.gathered([Double(own)]).reduce(0, +))
      }
      walk.advance(layer: index, to: .afterPart(number))
      let share = try addedShare(since: before)
      let sentCount = tokenCounts.reduce(0) { if case .expertDown = $1.key { $0 + $1.value } else { $0 } }
      for group in groups {
        let tokenShare = tokenCounts[group].map { Double($0) / Double(max(sentCount, 1)) } ?? 1
        for linear in layer[group].linears {
          guard let relative = errors[linear.name] else { continue }
          losses[linear.name] = relative.map { $0 * share * tokenShare }
        }
      }
    }
  }

  /// Returns the mean share of the added values in the current residual stream.
  private func addedShare(since before: [Matrix]) throws -> Double {
    let own = zip(before, walk.windows).map { before, window in
      var added = window.hidden
      var span = added.values.mutableSpan
      addScaled(before.values.span, scale: -1, to: &span)
      return (0..<added.rowCount).reduce(0.0) { sum, token in
        let part = Double(sumOfSquares(added.values.span.extracting(added.row(token))))
        let whole = Double(sumOfSquares(window.hidden.values.span.extracting(added.row(token))))
        return sum + part / max(whole, .leastNormalMagnitude)
      } / Double(added.rowCount)
    }
    let shares = try walk.group.gathered(own)
    return shares.reduce(0, +) / Double(max(shares.count, 1))
  }

  /// Returns the relative squared output errors of the linears that the windows are paused before.
  private mutating func relativeErrors(of linears: [Linear]) throws -> [String: [Double]] {
    let chosen = linears.filter { choices[$0.name] != nil }
    var errors: [String: [Double]] = [:]
    guard let first = chosen.first else { return errors }
    let moments = try walk.moments(named: first.name, beside: nil).own
    let isReached = moments.count > 0
    let (matrix, importance) = (MomentMatrix(moments), isReached ? moments.importance : nil)
    for linear in chosen {
      guard let grids = choices[linear.name] else { continue }
      errors[linear.name] = try grids.map { grid in
        let search = ClipSearch(grid: grid, importance: importance)
        let packed = try search.quantize(linear.weight, name: linear.name + ".weight")
        guard isReached else { return packed.squaredError / max(packed.squaredNorm, .leastNormalMagnitude) }
        var error = OutputError()
        error.add(of: linear.weight.replaced(by: packed, on: search.grid), to: linear.weight, moments: matrix)
        return error.relative * error.relative
      }
      done += 1
      progress(Progress(phase: "sensitivity", completed: done, total: choices.count, detail: linear.name))
    }
    return errors
  }
}
