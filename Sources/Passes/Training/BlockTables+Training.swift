import Checkpoints

/// Training of super-blocks: their tables follow trained floats.
///
/// Each group has a trained scale and bias, as if they were free. After every update, the small integers are
/// the nearest to them by the factors so far, and each factor is then the best for its integers, by least
/// squares. The gradient ignores the rounding.
///
/// Source: the straight-through estimator, arXiv:1308.3432, on the tables instead of the codes.
extension BlockTables {
  /// Moves the tables to trained ones.
  ///
  /// - Parameters:
  ///   - scales: The scale of each group, `[rows, groups]`; nil leaves the scales.
  ///   - biases: The bias of each group; nil leaves the biases. Not used by a type without minima.
  mutating func follow(scales: [Float]?, biases: [Float]?) {
    if let scales {
      Self.fit(&scaleSteps, &scaleFactors, to: scales, sign: 1, kind.groupCount, kind.scaleSteps)
    }
    if let biases, kind.zeroPoint == nil {
      Self.fit(&biasSteps, &biasFactors, to: biases, sign: -1, kind.groupCount, kind.biasSteps)
    }
  }

  private static func fit(
    _ steps: inout [Float], _ factors: inout [Float], to targets: [Float], sign: Float, _ groupCount: Int,
    _ limits: ClosedRange<Int>
  ) {
    let (lowest, highest) = (Float(limits.lowerBound), Float(limits.upperBound))
    for block in factors.indices {
      let groups = block * groupCount..<(block + 1) * groupCount
      let factor = factors[block]
      var (products, squares): (Float, Float) = (0, 0)
      for group in groups {
        let target = sign * targets[group]
        if factor != 0 {
          // A target that is not finite keeps its integer; the loss reports it.
          let step = (target / factor).rounded()
          if step.isFinite { steps[group] = min(max(step, lowest), highest) }
        }
        products += target * steps[group]
        squares += steps[group] * steps[group]
      }
      if squares > 0 { factors[block] = products / squares }
    }
  }

  /// Writes or reads the values that later steps depend on.
  mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&scaleSteps)
    try archive.exchange(&biasSteps)
    try archive.exchange(&scaleFactors)
    try archive.exchange(&biasFactors)
  }
}
