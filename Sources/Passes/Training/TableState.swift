/// A table of a packed weight, trained in units of the step: `value = start + unit · parameter`.
struct TableState {
  let start: [Float]
  private let unit: [Float]
  private var parameters: [Float]
  private var moments: AdamMoments

  init(start: [Float], unit: [Float]) {
    self.start = start
    self.unit = unit
    parameters = [Float](repeating: 0, count: start.count)
    moments = AdamMoments(count: start.count)
  }

  /// The table after a step.
  mutating func updated(_ gradient: [Float], _ step: AdamStep) -> [Float] {
    let inUnits = gradient.indices.map { gradient[$0] * unit[$0] }
    step.apply(inUnits, to: &parameters, &moments)
    return values
  }

  /// The table after a visit.
  mutating func visit(_ body: (inout [Float]) throws -> Void) rethrows -> [Float] {
    try body(&parameters)
    try moments.visit(body)
    return values
  }

  private var values: [Float] { start.indices.map { start[$0] + unit[$0] * parameters[$0] } }
}
