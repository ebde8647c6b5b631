import Kernels
import Testing

@Suite struct DeltaRuleTests {
  /// Sums of at most 9 products of numbers below 1, in f32.
  private static let tolerance = 1e-5

  /// The inputs of a token, and numbers that weigh its result and the state after it.
  private struct Case {
    static let (keys, values) = (5, 9)
    /// State, query, key and value, then decay and rate.
    var inputs: [[Float]]
    let resultWeights: [Float]
    let stateWeights: [Float]

    init() {
      var place = 0
      func numbers(_ count: Int) -> [Float] {
        place += 1
        return (0..<count).map { Float(($0 * 37 + place * 61) % 101) / 60 - 0.8 }
      }
      inputs = [
        numbers(Self.keys * Self.values), numbers(Self.keys), numbers(Self.keys), numbers(Self.values),
        [0.8, 0.6],
      ]
      resultWeights = numbers(Self.values)
      stateWeights = numbers(Self.keys * Self.values)
    }

    /// The state after the token and its result, in double precision.
    func reference() -> (state: [Double], result: [Double]) {
      let (keys, values) = (Self.keys, Self.values)
      let numbers = inputs.map { $0.map { Double($0) } }
      var state = numbers[0].map { $0 * numbers[4][0] }
      let errors = (0..<values).map { j in
        numbers[3][j] - (0..<keys).reduce(0) { $0 + state[$1 * values + j] * numbers[2][$1] }
      }
      for i in 0..<keys {
        for j in 0..<values { state[i * values + j] += numbers[2][i] * numbers[4][1] * errors[j] }
      }
      let result = (0..<values).map { j in
        (0..<keys).reduce(0) { $0 + state[$1 * values + j] * numbers[1][$1] }
      }
      return (state, result)
    }

    /// The weighted sum of the result and of the state after the token.
    func weightedSum() -> Double {
      let (state, result) = reference()
      return zip(state, stateWeights).reduce(0) { $0 + $1.0 * Double($1.1) }
        + zip(result, resultWeights).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
  }

  @Test func `a token moves the state and reads it`() {
    let example = Case()
    let expected = example.reference()
    var state = example.inputs[0]
    var alone = state
    var result = [Float](repeating: .nan, count: Case.values)
    do {
      let (first, second, third) = (example.inputs[1], example.inputs[2], example.inputs[3])
      let token = DeltaRuleToken(
        query: first.span, key: second.span, value: third.span, decay: example.inputs[4][0],
        rate: example.inputs[4][1])
      var states = state.mutableSpan
      var results = result.mutableSpan
      deltaRule(&states, token, into: &results)
      var others = alone.mutableSpan
      moveState(&others, by: token)
    }
    #expect(alone == state)
    for (found, expected) in zip(state + result, expected.state + expected.result) {
      #expect(abs(Double(found) - expected) < Self.tolerance)
    }
  }

  @Test func `the gradients are the slopes`() {
    let example = Case()
    let found: [[Float]]
    do {
      let (first, second, third) = (example.inputs[1], example.inputs[2], example.inputs[3])
      let token = DeltaRuleToken(
        query: first.span, key: second.span, value: third.span, decay: example.inputs[4][0],
        rate: example.inputs[4][1])
      let (before, weights) = (example.inputs[0], example.resultWeights)
      var stateGradient = example.stateWeights
      var state = stateGradient.mutableSpan
      var query = [Float](repeating: .nan, count: Case.keys)
      var key = query
      var value = [Float](repeating: .nan, count: Case.values)
      let slopes: (decay: Float, rate: Float)
      do {
        var queries = query.mutableSpan
        var keys = key.mutableSpan
        var values = value.mutableSpan
        slopes = deltaRuleBackward(
          before.span, token, gradient: weights.span, stateGradient: &state,
          queryGradient: &queries, keyGradient: &keys, valueGradient: &values)
      }
      found = [stateGradient, query, key, value, [slopes.decay, slopes.rate]]
    }
    let step: Float = 1.0 / 256
    for (place, gradient) in found.enumerated() {
      for index in gradient.indices {
        let sums = [step, -step].map { change in
          var moved = example
          moved.inputs[place][index] += change
          return moved.weightedSum()
        }
        // The sum is at most quadratic in each input, so a difference is exact up to the rounding of inputs.
        let slope = (sums[0] - sums[1]) / (2 * Double(step))
        #expect(abs(Double(gradient[index]) - slope) < 1e-4, "input \(place), number \(index)")
      }
    }
  }

  @Test func `the sigmoid is that of the definition`() {
    let x: [Float] = [-100, -3, -0.5, 0, 0.25, 2, 90]
    var found = [Float](repeating: .nan, count: x.count)
    var span = found.mutableSpan
    sigmoid(x.span, into: &span)
    let expected: [Float] = [0, 0.047425874, 0.37754068, 0.5, 0.5621765, 0.880797, 1]
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-6 })
  }
}
