import Checkpoints
import Foundation
public import Kernels

/// How well a model predicts a text.
///
/// Windows do not overlap, and an incomplete last one is dropped. Each window is run by itself, and all its
/// tokens except the first are scored.
public struct Evaluation: Sendable, Equatable {
  /// The number of windows scored.
  public internal(set) var windows = 0
  /// The number of tokens per window.
  public internal(set) var window: Int
  /// The number of tokens scored.
  public internal(set) var tokensScored = 0
  /// The sum of the negative log likelihoods, in nats.
  public internal(set) var totalNLL = 0.0

  /// Mean negative log likelihood per token, in nats.
  public var nllPerToken: Double { totalNLL / Double(max(tokensScored, 1)) }
  /// The exponential of `nllPerToken`.
  public var perplexity: Double { exp(nllPerToken) }
}

/// How far a candidate's predictions are from a reference's on the same tokens.
public struct Comparison: Sendable, Equatable {
  /// The evaluation of the reference alone.
  public internal(set) var reference: Evaluation
  /// The evaluation of the candidate alone.
  public internal(set) var candidate: Evaluation
  /// Mean of KL(reference ‖ candidate) over the positions, in nats.
  public var meanKL: Double { totalKL / Double(max(positions, 1)) }
  /// The largest KL of any position, in nats.
  public internal(set) var maxKL = 0.0
  /// The largest absolute difference of any logit.
  public internal(set) var maxAbsoluteLogitDifference = 0.0
  /// The fraction of positions where both models prefer the same token.
  public var top1Agreement: Double { Double(agreements) / Double(max(positions, 1)) }

  var positions = 0
  var totalKL = 0.0
  var agreements = 0
}

/// Cuts tokens into windows and drops an incomplete last one.
///
/// - Throws: `ModelError.textTooShort` when there are fewer tokens than one window needs.
package func windows(of tokens: [Int32], length: Int, path: String) throws -> [[Int32]] {
  precondition(length >= 2, "a window needs at least two tokens")
  guard tokens.count >= length else {
    throw ModelError.textTooShort(path: path, tokens: tokens.count, needed: length)
  }
  return stride(from: 0, through: tokens.count - length, by: length).map { Array(tokens[$0..<$0 + length]) }
}

extension Transformer {
  /// Checks that every token has a row in the embedding, so that a long run fails at its start.
  ///
  /// - Parameters:
  ///   - windows: The tokens of each window.
  ///   - path: The tokenizer that made the tokens, for the error.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package func requireTokens(_ windows: [[Int32]], from path: String) throws {
    let size = configuration.vocabularySize
    guard let token = windows.joined().first(where: { !(0..<size).contains(Int($0)) }) else { return }
    throw ModelError.tokenOutOfRange(path: path, id: Int(token), vocabularySize: size)
  }

  /// Scores windows.
  ///
  /// - Parameters:
  ///   - windows: All of the same length, at least 2 tokens.
  ///   - group: The processes that share the windows; all of them get the result.
  ///   - progress: Called after each window.
  /// - Returns: The sums over all windows.
  /// - Throws: `ModelError.tokenOutOfRange`, `.notFinite` with the first tensor or layer that is not finite,
  ///   `.incomparable` when the windows differ in length.
  public func evaluate(
    _ windows: [[Int32]], over group: any ProcessGroup = SingleProcess(),
    progress: ProgressHandler = { _ in }
  ) throws -> Evaluation {
    let length = try Self.commonLength(windows)
    let rotary = rotaryTables(positions: length)
    var evaluation = Evaluation(window: length)
    try forEachWindow(windows, atOnce: windowsAtOnce(length: length), over: group) { window in
      try evaluate(window, rotary: rotary)
    } then: { index, result in
      try requireFinite(result.totalNLL, of: windows[index], "the loss of window \(index)")
      evaluation.add(result)
      progress(
        Progress(
          phase: "evaluate", completed: index + 1, total: windows.count,
          detail: "perplexity \(evaluation.perplexity.formatted(decimals: 3))"))
    }
    return evaluation
  }

  private func evaluate(_ window: [Int32], rotary: RotaryTables) throws -> Evaluation {
    let hidden = try finalHidden(window, rotary: rotary)
    var evaluation = Evaluation(windows: 1, window: window.count)
    forEachLogitBlock(of: window.count - 1) { block in
      let logits = logits(hidden.rows(block))
      let nll = sumOverRows(of: block) { i, token in
        let row = logits.values.span.extracting(logits.row(i))
        return Double(logSumExp(row)) - Double(row[Int(window[token + 1])])
      }
      evaluation.add(nll, tokens: block.count)
    }
    return evaluation
  }

  /// Compares this model with a candidate on the same windows, both in one pass.
  ///
  /// - Parameters:
  ///   - candidate: The other model, with the same vocabulary.
  ///   - windows: All of the same length, at least 2 tokens.
  ///   - group: The processes that share the windows; all of them get the result.
  ///   - progress: Called after each window.
  /// - Returns: The sums over all windows.
  /// - Throws: `ModelError.incomparable` when the vocabularies or the windows' lengths differ;
  ///   `.tokenOutOfRange`; `.notFinite` with the first tensor or layer of either model that is not finite.
  public func compare(
    with candidate: Transformer, on windows: [[Int32]], over group: any ProcessGroup = SingleProcess(),
    progress: ProgressHandler = { _ in }
  ) throws -> Comparison {
    try requireSameVocabulary(as: candidate)
    let length = try Self.commonLength(windows)
    let rotary = (rotaryTables(positions: length), candidate.rotaryTables(positions: length))
    var comparison = Comparison(reference: Evaluation(window: length), candidate: Evaluation(window: length))
    let atOnce = max(1, windowsAtOnce(length: length) / 2)
    try forEachWindow(windows, atOnce: atOnce, over: group) { window in
      let hidden = try finalHidden(window, rotary: rotary.0)
      let otherHidden = try candidate.finalHidden(window, rotary: rotary.1)
      var result = Comparison(
        reference: Evaluation(windows: 1, window: length), candidate: Evaluation(windows: 1, window: length))
      forEachLogitBlock(of: length) { block in
        result.add(
          logits(hidden.rows(block)), candidate.logits(otherHidden.rows(block)), block: block, of: window)
      }
      return result
    } then: { index, result in
      let what = "the loss of window \(index)"
      try requireFinite(result.reference.totalNLL, of: windows[index], what)
      try candidate.requireFinite(result.candidate.totalNLL, of: windows[index], what)
      comparison.add(result)
      progress(
        Progress(
          phase: "compare", completed: index + 1, total: windows.count,
          detail: "mean KL \(comparison.meanKL)"))
    }
    return comparison
  }

  /// Checks that two models have the same number of tokens.
  ///
  /// - Throws: `ModelError.incomparable`.
  package func requireSameVocabulary(as candidate: Transformer) throws {
    let (size, other) = (configuration.vocabularySize, candidate.configuration.vocabularySize)
    guard size != other else { return }
    throw ModelError.incomparable("the vocabularies have \(size) and \(other) tokens")
  }

  /// Returns the common length of windows.
  private static func commonLength(_ windows: [[Int32]]) throws -> Int {
    let length = windows.first?.count ?? 2
    guard length >= 2, windows.allSatisfy({ $0.count == length }) else {
      throw ModelError.incomparable("windows must have one length of at least 2 tokens")
    }
    return length
  }

  /// The number of windows computed at the same time: one per thread, as far as their logits fit in 1 GB.
  package func windowsAtOnce(length: Int) -> Int {
    let tokens = min(length, tokensPerLogitBlock)
    let bytes = 4 * (tokens * configuration.vocabularySize + 8 * length * configuration.intermediateSize)
    return max(1, min(ThreadLimit.current, 1_000_000_000 / bytes))
  }

  private func forEachLogitBlock(of count: Int, _ body: (Range<Int>) -> Void) {
    for block in logitBlocks(of: 0..<count) { body(block) }
  }
}

extension Evaluation {
  fileprivate mutating func add(_ nll: Double, tokens: Int) {
    totalNLL += nll
    tokensScored += tokens
  }

  /// Adds another window.
  fileprivate mutating func add(_ other: Evaluation) {
    windows += other.windows
    add(other.totalNLL, tokens: other.tokensScored)
  }
}

/// Computes a value for each window, several windows in parallel, and delivers the values in order.
///
/// Several processes compute one round of windows after the other, each its part of the round, and every
/// process gets every value.
///
/// - Parameters:
///   - windows: The windows.
///   - count: The number of windows that this process computes at the same time; the results do not depend on
///     it.
///   - group: The processes that share the windows.
///   - compute: The work for one window.
///   - then: Receives the index of the window and its value.
/// - Throws: The errors of `compute` or `then`, or of the communication between processes.
package func forEachWindow<T: Sendable & NumberCoded>(
  _ windows: [[Int32]], atOnce count: Int, over group: any ProcessGroup = SingleProcess(),
  _ compute: @Sendable ([Int32]) throws -> T, then: (Int, T) throws -> Void
) throws {
  let counts = try group.gather([Double(count)]).map { Int($0[0]) }
  let (before, total) = (counts[..<group.rank].reduce(0, +), counts.reduce(0, +))
  for start in stride(from: 0, to: windows.count, by: total) {
    let size = min(total, windows.count - start)
    let own = start + size * before / total..<start + size * (before + count) / total
    let results = try parallelMap(own.count) { try compute(windows[own.lowerBound + $0]) }
    for (i, result) in try group.gathered(results).enumerated() { try then(start + i, result) }
  }
}

extension Evaluation: NumberCoded {
  package static var numberCount: Int { 4 }
  package var numbers: [Double] { [Double(windows), Double(window), Double(tokensScored), totalNLL] }
  package init(numbers: ArraySlice<Double>) {
    let numbers = Array(numbers)
    self.init(
      windows: Int(numbers[0]), window: Int(numbers[1]), tokensScored: Int(numbers[2]), totalNLL: numbers[3])
  }
}

extension Comparison: NumberCoded {
  package static var numberCount: Int { 2 * Evaluation.numberCount + 5 }
  package var numbers: [Double] {
    reference.numbers + candidate.numbers
      + [maxKL, maxAbsoluteLogitDifference, Double(positions), totalKL, Double(agreements)]
  }
  package init(numbers: ArraySlice<Double>) {
    let (numbers, count) = (Array(numbers), Evaluation.numberCount)
    self.init(
      reference: Evaluation(numbers: numbers[..<count]),
      candidate: Evaluation(numbers: numbers[count..<2 * count]))
    let rest = Array(numbers[(2 * count)...])
    (maxKL, maxAbsoluteLogitDifference, totalKL) = (rest[0], rest[1], rest[3])
    (positions, agreements) = (Int(rest[2]), Int(rest[4]))
  }
}

extension Comparison {
  /// Adds another window.
  fileprivate mutating func add(_ other: Comparison) {
    reference.add(other.reference)
    candidate.add(other.candidate)
    maxKL = largerOrNaN(maxKL, other.maxKL)
    maxAbsoluteLogitDifference = largerOrNaN(maxAbsoluteLogitDifference, other.maxAbsoluteLogitDifference)
    positions += other.positions
    totalKL += other.totalKL
    agreements += other.agreements
  }

  /// Adds the positions of a block; the last position of a window is compared, but scores no token.
  fileprivate mutating func add(
    _ reference: Matrix, _ candidate: Matrix, block: Range<Int>, of window: [Int32]
  ) {
    let rows = parallelMap(block.count) { i in
      let range = reference.row(i)
      return klDivergenceRow(
        reference: reference.values.span.extracting(range), candidate: candidate.values.span.extracting(range)
      )
    }
    for (i, row) in rows.enumerated() {
      totalKL += row.kl
      maxKL = largerOrNaN(maxKL, row.kl)
      maxAbsoluteLogitDifference = largerOrNaN(
        maxAbsoluteLogitDifference, Double(row.maxAbsoluteDifference))
      agreements += row.sameTop ? 1 : 0
      positions += 1
      let token = block.lowerBound + i + 1
      guard token < window.count else { continue }
      let target = i * reference.columnCount + Int(window[token])
      self.reference.add(row.referenceLogSumExp - Double(reference.values[target]), tokens: 1)
      self.candidate.add(row.candidateLogSumExp - Double(candidate.values[target]), tokens: 1)
    }
  }
}

/// Returns the larger of two numbers, or NaN when either is NaN: a broken model must not look like an equal
/// one.
private func largerOrNaN(_ a: Double, _ b: Double) -> Double {
  a.isNaN || b.isNaN ? .nan : max(a, b)
}

/// Sums `body` over the rows of a block: computed in parallel, added in order.
private func sumOverRows(of block: Range<Int>, _ body: @Sendable (Int, Int) -> Double) -> Double {
  parallelMap(block.count) { body($0, block.lowerBound + $0) }.reduce(0, +)
}
