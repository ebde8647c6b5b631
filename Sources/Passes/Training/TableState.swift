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

  /// Updates the parameters and returns the new table.
  mutating func updated(_ gradient: [Float], _ step: AdamStep) -> [Float] {
    let inUnits = gradient.indices.map { gradient[$0] * unit[$0] }
    moments.take(step, inUnits, to: &parameters)
    return values
  }

  /// Writes or reads the values that later steps depend on.
  ///
  /// - Returns: The table of these values.
  mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws -> [Float] {
    try archive.exchange(&parameters)
    try moments.exchange(with: &archive)
    return values
  }

  private var values: [Float] { start.indices.map { start[$0] + unit[$0] * parameters[$0] } }
}
