import Checkpoints
import Foundation
import Kernels

/// One value head of a gated delta net over some tokens, with its inputs as the delta rule takes them.
struct DeltaNetHead: Sendable {
  /// The gradients of the head's inputs.
  struct Gradients: Sendable {
    /// Of the convolution's result, `[tokens, keyHeadSize]`.
    var queries: Matrix
    /// Of the convolution's result, `[tokens, keyHeadSize]`.
    var keys: Matrix
    /// Of the convolution's result, `[tokens, valueHeadSize]`.
    var values: Matrix
    /// Of the inputs of the rates, `[tokens]`.
    var rates: [Float]
    /// Of the steps, `[tokens]`.
    var steps: [Float]
  }

  /// The number of tokens between two states that the backward pass keeps; those between are computed again.
  private static let tokensPerState = 16

  private let index: Int
  private let net: DeltaNet
  /// `[tokens, keyHeadSize]`, of length `1 / sqrt(keyHeadSize)`.
  private var queries: Matrix
  /// `[tokens, keyHeadSize]`, of length 1.
  private var keys: Matrix
  /// `[tokens, valueHeadSize]`.
  private var values: Matrix
  /// The factors of the state, `[tokens]`.
  private var decays: [Float] = []
  /// The shares of the errors that are corrected, `[tokens]`.
  private var rates: [Float] = []
  /// One over the length of each query and key before they are normalized.
  private var inverseLengths: [(query: Float, key: Float)] = []
  /// The derivative of the logarithm of each decay by its step, `[tokens]`.
  private var stepSlopes: [Float] = []

  private var tokenCount: Int { values.rowCount }
  private var stateCount: Int { keys.columnCount * values.columnCount }

  /// Prepares a head.
  ///
  /// - Parameters:
  ///   - index: The index among the value heads.
  ///   - net: The net.
  ///   - mixed: The activated result of the convolution, `[tokens, channels]`.
  ///   - x: The input of the net, `[tokens, inputWidth]`.
  init(_ index: Int, of net: DeltaNet, mixed: Matrix, _ x: Matrix) {
    self.index = index
    self.net = net
    let d = net.description
    let columns = d.columns(ofHead: index)
    queries = mixed.columns(columns.query)
    keys = mixed.columns(columns.key)
    values = mixed.columns(columns.value)
    let queryLength = 1 / Float(d.keyHeadSize).squareRoot()
    for token in 0..<x.rowCount {
      inverseLengths.append(
        (queries.normalizeRow(token, length: queryLength), keys.normalizeRow(token, length: 1)))
      let inputs = token * x.columnCount + d.channelCount + d.valueWidth + index
      rates.append(1 / (1 + exp(-x.values[inputs])))
      let step = x.values[inputs + d.valueHeadCount] + net.stepBias[index]
      decays.append(exp(-net.forgetting[index] * softplus(step)))
      stepSlopes.append(-net.forgetting[index] / (1 + exp(-step)))
    }
  }

  /// Computes the results, `[tokens, valueHeadSize]`, and moves the state, `[keyHeadSize, valueHeadSize]`.
  func forward(state: inout [Float]) -> Matrix {
    var result = Matrix.unspecified(rows: tokenCount, columns: values.columnCount)
    var span = state.mutableSpan
    var results = result.values.mutableSpan
    for token in 0..<tokenCount {
      var output = results.slice(token * values.columnCount..<(token + 1) * values.columnCount)
      deltaRule(&span, self.token(token), into: &output)
    }
    return result
  }

  /// Computes the results of a whole window and keeps the state before every `tokensPerState`-th token.
  func forwardKeepingStates() -> (result: Matrix, states: [[Float]]) {
    var result = Matrix.unspecified(rows: tokenCount, columns: values.columnCount)
    var results = result.values.mutableSpan
    var state = [Float](repeating: 0, count: stateCount)
    var states: [[Float]] = []
    for token in 0..<tokenCount {
      if token % Self.tokensPerState == 0 { states.append(state) }
      var span = state.mutableSpan
      var output = results.slice(token * values.columnCount..<(token + 1) * values.columnCount)
      deltaRule(&span, self.token(token), into: &output)
    }
    return (result, states)
  }

  @_lifetime(borrow self)
  private func token(_ index: Int) -> DeltaRuleToken {
    DeltaRuleToken(
      query: queries.values.span.extracting(queries.row(index)),
      key: keys.values.span.extracting(keys.row(index)),
      value: values.values.span.extracting(values.row(index)), decay: decays[index], rate: rates[index])
  }

  /// Computes the gradients of a whole window.
  ///
  /// - Parameters:
  ///   - states: Those of `forwardKeepingStates`.
  ///   - gradient: The gradient of the results of all heads, `[tokens, valueWidth]`.
  func backward(from states: [[Float]], _ gradient: Matrix) -> Gradients {
    var gradients = Gradients(
      queries: Matrix(rows: tokenCount, columns: keys.columnCount),
      keys: Matrix(rows: tokenCount, columns: keys.columnCount),
      values: Matrix(rows: tokenCount, columns: values.columnCount),
      rates: [Float](repeating: 0, count: tokenCount), steps: [Float](repeating: 0, count: tokenCount))
    var stateGradient = [Float](repeating: 0, count: stateCount)
    for (block, state) in states.enumerated().reversed() {
      let first = block * Self.tokensPerState
      let tokens = first..<min(first + Self.tokensPerState, tokenCount)
      let before = statesBefore(tokens, from: state)
      for token in tokens.reversed() {
        backward(token, before[token - first], gradient, &stateGradient, &gradients)
      }
    }
    return gradients
  }

  /// The states before each of some tokens.
  private func statesBefore(_ tokens: Range<Int>, from first: [Float]) -> [[Float]] {
    var states = [first]
    for token in tokens.dropLast() {
      var state = states[states.count - 1]
      var span = state.mutableSpan
      moveState(&span, by: self.token(token))
      states.append(state)
    }
    return states
  }

  /// Computes the gradients of one token.
  private func backward(
    _ index: Int, _ state: [Float], _ gradient: Matrix, _ stateGradient: inout [Float],
    _ gradients: inout Gradients
  ) {
    let slopes = setGradients(
      of: index, state, gradient, &stateGradient, &gradients.queries, &gradients.keys, &gradients.values)
    gradients.rates[index] = slopes.rate * rates[index] * (1 - rates[index])
    gradients.steps[index] = slopes.decay * decays[index] * stepSlopes[index]
  }

  /// Sets one row of the gradients of queries, keys and values, and returns those of decay and rate.
  private func setGradients(
    of index: Int, _ state: [Float], _ gradient: Matrix, _ stateGradient: inout [Float],
    _ queryGradients: inout Matrix, _ keyGradients: inout Matrix, _ valueGradients: inout Matrix
  ) -> (decay: Float, rate: Float) {
    let width = values.columnCount
    let start = index * gradient.columnCount + self.index * width
    var change = stateGradient.mutableSpan
    var allQueries = queryGradients.values.mutableSpan
    var queryGradient = allQueries.slice(queries.row(index))
    var allKeys = keyGradients.values.mutableSpan
    var keyGradient = allKeys.slice(keys.row(index))
    var allValues = valueGradients.values.mutableSpan
    var valueGradient = allValues.slice(values.row(index))
    let slopes = deltaRuleBackward(
      state.span, token(index), gradient: gradient.values.span.extracting(start..<start + width),
      stateGradient: &change, queryGradient: &queryGradient, keyGradient: &keyGradient,
      valueGradient: &valueGradient)
    undoNormalization(
      queries.values.span.extracting(queries.row(index)), inverse: inverseLengths[index].query,
      length: 1 / Float(keys.columnCount).squareRoot(), &queryGradient)
    undoNormalization(
      keys.values.span.extracting(keys.row(index)), inverse: inverseLengths[index].key, length: 1,
      &keyGradient)
    return slopes
  }

  /// Turns the gradient of a normalized row into that of the row.
  ///
  /// - Parameters:
  ///   - row: The normalized row.
  ///   - inverse: One over its length before.
  ///   - length: Its length now.
  ///   - gradient: Same length as the row.
  private func undoNormalization(
    _ row: Span<Float>, inverse: Float, length: Float, _ gradient: inout MutableSpan<Float>
  ) {
    let along = dot(row, gradient.span) / (length * length)
    for i in row.indices { gradient[i] = inverse * length * (gradient[i] - row[i] * along) }
  }

  /// `ln(1 + exp(x))`.
  private func softplus(_ x: Float) -> Float { x > 20 ? x : log1p(exp(x)) }
}

extension Matrix {
  /// A copy of some columns.
  fileprivate func columns(_ range: Range<Int>) -> Matrix {
    var result = Matrix.unspecified(rows: rowCount, columns: range.count)
    for row in 0..<rowCount {
      for (j, column) in range.enumerated() {
        result.values[row * range.count + j] = values[row * columnCount + column]
      }
    }
    return result
  }

  /// Gives a row a length, up to the epsilon, and returns one over its length before.
  fileprivate mutating func normalizeRow(_ index: Int, length: Float) -> Float {
    let range = row(index)
    var span = values.mutableSpan
    var row = span.slice(range)
    let inverse = 1 / (sumOfSquares(row.span) + DeltaNet.lengthEpsilon).squareRoot()
    for j in row.indices { row[j] *= inverse * length }
    return inverse
  }
}
