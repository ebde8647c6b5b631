/// Moves the state of one head by one token, by the gated delta rule.
///
/// With `P = decay · S`, the state becomes `P + key ⊗ rate · (value - Pᵀ key)`, and the result is `Sᵀ query` of
/// the new state.
///
/// - Parameters:
///   - state: `S`, `[keys, values]`, row-major.
///   - token: The inputs of the token.
///   - output: `[values]`.
/// - Source: Gated Delta Networks, arXiv:2412.06464, equation 10.
package func deltaRule(
  _ state: inout MutableSpan<Float>, _ token: DeltaRuleToken, into output: inout MutableSpan<Float>
) {
  let width = token.check(state.count)
  precondition(output.count == width, "\(output.count) results, \(width) values")
  ScratchPool.shared.withScratch(width) { change in
    moveState(&state, token, change: &change)
  }
  for j in 0..<width { output[j] = 0 }
  for i in token.query.indices {
    addScaled(state.span.extracting(i * width..<(i + 1) * width), scale: token.query[i], to: &output)
  }
}

/// Moves a state like `deltaRule`, without its result.
///
/// - Parameters:
///   - state: `[keys, values]`.
///   - token: The inputs of the token.
///   - change: `[values]`; becomes `rate · (value - Pᵀ key)`.
private func moveState(
  _ state: inout MutableSpan<Float>, _ token: DeltaRuleToken, change: inout MutableSpan<Float>
) {
  let width = token.value.count
  for i in 0..<state.count { state[i] *= token.decay }
  for j in 0..<width { change[j] = 0 }
  for i in token.key.indices {
    addScaled(state.span.extracting(i * width..<(i + 1) * width), scale: token.key[i], to: &change)
  }
  for j in 0..<width { change[j] = token.rate * (token.value[j] - change[j]) }
  for i in token.key.indices {
    var row = state.slice(i * width..<(i + 1) * width)
    addScaled(change.span, scale: token.key[i], to: &row)
  }
}

/// Moves the state of one head by one token.
///
/// - Parameters:
///   - state: `[keys, values]`.
///   - token: The inputs of the token.
package func moveState(_ state: inout MutableSpan<Float>, by token: DeltaRuleToken) {
  let width = token.check(state.count)
  ScratchPool.shared.withScratch(width) { change in moveState(&state, token, change: &change) }
}

/// Computes the gradients of one token of `deltaRule`.
///
/// - Parameters:
///   - state: The state before the token, `[keys, values]`.
///   - token: The inputs of the token.
///   - gradient: The gradient of its result, `[values]`.
///   - stateGradient: The gradient of the state after the token, without that of the token's result; becomes
///     that of the state before the token.
///   - queryGradient: `[keys]`; overwritten.
///   - keyGradient: `[keys]`; overwritten.
///   - valueGradient: `[values]`; overwritten.
/// - Returns: The gradients of decay and rate.
package func deltaRuleBackward(
  _ state: Span<Float>, _ token: DeltaRuleToken, gradient: Span<Float>,
  stateGradient: inout MutableSpan<Float>, queryGradient: inout MutableSpan<Float>,
  keyGradient: inout MutableSpan<Float>, valueGradient: inout MutableSpan<Float>
) -> (decay: Float, rate: Float) {
  let width = token.check(state.count)
  let (key, query) = (token.key, token.query)
  func row(_ i: Int) -> Range<Int> { i * width..<(i + 1) * width }
  var decayGradient: Float = 0
  var rateGradient: Float = 0
  ScratchPool.shared.withScratch(width) { error in
    // What the rate multiplies: value - Pᵀ key.
    for j in 0..<width { error[j] = 0 }
    for i in key.indices { addScaled(state.extracting(row(i)), scale: token.decay * key[i], to: &error) }
    for j in 0..<width { error[j] = token.value[j] - error[j] }
    let resultByChange = token.rate * dot(gradient, error.span)
    for j in 0..<width { valueGradient[j] = 0 }
    for i in key.indices {
      queryGradient[i] = token.decay * dot(state.extracting(row(i)), gradient) + key[i] * resultByChange
      var change = stateGradient.slice(row(i))
      addScaled(gradient, scale: query[i], to: &change)
      addScaled(change.span, scale: key[i], to: &valueGradient)
      keyGradient[i] = token.rate * dot(change.span, error.span)
    }
    rateGradient = dot(valueGradient.span, error.span)
    for j in 0..<width { valueGradient[j] *= token.rate }
    for i in key.indices {
      let before = state.extracting(row(i))
      keyGradient[i] -= token.decay * dot(before, valueGradient.span)
      var change = stateGradient.slice(row(i))
      addScaled(valueGradient.span, scale: -key[i], to: &change)
      decayGradient += dot(change.span, before)
      for j in 0..<width { change[j] *= token.decay }
    }
  }
  return (decayGradient, rateGradient)
}

/// The inputs of one token of the gated delta rule, for one head.
package struct DeltaRuleToken: ~Escapable {
  /// `[keys]`.
  let query: Span<Float>
  /// `[keys]`.
  let key: Span<Float>
  /// `[values]`.
  let value: Span<Float>
  /// The factor of the state, from 0 to 1.
  let decay: Float
  /// The share of the error that is corrected, from 0 to 1.
  let rate: Float

  /// Joins the inputs.
  @_lifetime(copy query, copy key, copy value)
  package init(query: Span<Float>, key: Span<Float>, value: Span<Float>, decay: Float, rate: Float) {
    self.query = query
    self.key = key
    self.value = value
    self.decay = decay
    self.rate = rate
  }

  /// Checks the counts against that of a state and returns the number of values.
  fileprivate func check(_ stateCount: Int) -> Int {
    precondition(
      query.count == key.count && stateCount == key.count * value.count,
      "\(query.count) queries, \(key.count) keys, \(value.count) values, \(stateCount) in the state")
    return value.count
  }
}
