import Checkpoints
import Kernels

/// Chooses the factors and small integers of super-blocks for scales and biases that a search found.
///
/// The factor of a block is the least that reaches its largest scale; its integers are the nearest to the
/// scales, and the factor is then the best for them by least squares. A group's integers are the best of the
/// nearest ones by the error of its weights.
struct BlockFit {
  let kind: SuperBlock

  private var top: Float { Float(1 << kind.bits - 1) }

  /// d and dmin, as they are stored.
  struct Factors {
    let scale: Float
    let bias: Float
  }

  /// Chooses the factors of a block.
  ///
  /// - Parameters:
  ///   - scales: The scale of each group.
  ///   - biases: The bias of each group.
  /// - Returns: Factors in half precision.
  func factors(scales: Span<Float>, biases: Span<Float>) -> Factors {
    Factors(
      scale: factor(scales, sign: 1, kind.scaleSteps),
      bias: kind.zeroPoint == nil ? factor(biases, sign: -1, kind.biasSteps) : 0)
  }

  private func factor(_ values: Span<Float>, sign: Float, _ steps: ClosedRange<Int>) -> Float {
    let (lowest, highest) = (Float(steps.lowerBound), Float(steps.upperBound))
    var largest: Float = 0
    for i in values.indices {
      let value = sign * values[i]
      // If integers have signs, the factor has that of the largest value.
      if lowest < 0 ? abs(value) > abs(largest) : value > largest { largest = value }
    }
    guard largest != 0 else { return 0 }
    let first = largest / highest
    var (products, squares): (Float, Float) = (0, 0)
    for i in values.indices {
      let value = sign * values[i]
      let step = min(max((value / first).rounded(), lowest), highest)
      products += value * step
      squares += step * step
    }
    return Self.stored(squares > 0 ? products / squares : first)
  }

  /// Rounds a factor to half precision; one that is too small becomes the least normal number.
  static func stored(_ factor: Float) -> Float {
    guard factor.isFinite else { return factor }
    let limit = Float(Float16.greatestFiniteMagnitude)
    let rounded = Float(Float16(min(max(factor, -limit), limit)))
    return rounded == 0 && factor != 0 ? Float(Float16.leastNormalMagnitude) * (factor < 0 ? -1 : 1) : rounded
  }

  /// Chooses the integers of a group.
  ///
  /// - Parameters:
  ///   - weights: The weights of the group.
  ///   - importance: The weight of each squared error.
  ///   - scale: A good scale for the group, of full precision.
  ///   - bias: A good bias for the group, of full precision.
  ///   - factors: The factors of the block.
  /// - Returns: The integers of the scale and the bias, as floats.
  func steps(
    _ weights: Span<Float>, importance: Span<Float>, scale: Float, bias: Float, _ factors: Factors
  ) -> (scale: Float, bias: Float) {
    let nearest = Self.nearest(scale, factors.scale, kind.scaleSteps)
    if let zero = kind.zeroPoint {
      return (
        best(Self.around(nearest, kind.scaleSteps)) { step in
          let scale = factors.scale * step
          return error(weights, importance, scale: scale, bias: 0 - Float(zero) * scale)
        }, 0
      )
    }
    let bias = Self.nearest(-bias, factors.bias, kind.biasSteps)
    var (least, result) = (Float.infinity, (scale: nearest, bias: bias))
    for step in Self.around(nearest, kind.scaleSteps) {
      for offset in Self.around(bias, kind.biasSteps) {
        let error = error(weights, importance, scale: factors.scale * step, bias: 0 - factors.bias * offset)
        if error < least { (least, result) = (error, (step, offset)) }
      }
    }
    return result
  }

  private func best(_ candidates: [Float], by error: (Float) -> Float) -> Float {
    candidates.min { error($0) < error($1) } ?? 0
  }

  /// The shares of the scale that just reaches a group's largest weight, which the search tries.
  private static let clippingFactors: [Float] = (0...14).map { 1.1 - 0.05 * Float($0) }

  /// Finds a good scale for a group.
  ///
  /// - Parameters:
  ///   - weights: The weights of the group.
  ///   - importance: The weight of each squared error.
  ///   - clipped: The scale that the clip search found for free tables.
  /// - Returns: In a type without minima, the best of those tried with either end at the largest weight;
  ///   otherwise the given one.
  func scale(_ weights: Span<Float>, importance: Span<Float>, clipped: Float) -> Float {
    guard let zero = kind.zeroPoint.map({ Float($0) }) else { return clipped }
    var largest: Float = 0
    for i in weights.indices where abs(weights[i]) > abs(largest) { largest = weights[i] }
    var (least, result): (Float, Float) = (.infinity, 0)
    for end in [-zero, top - zero] {
      for factor in Self.clippingFactors {
        let scale = largest * factor / end
        let error = error(weights, importance, scale: scale, bias: 0 - zero * scale)
        if error < least { (least, result) = (error, scale) }
      }
    }
    return result
  }

  private static func nearest(_ value: Float, _ factor: Float, _ limits: ClosedRange<Int>) -> Float {
    guard factor != 0 else { return 0 }
    return min(max((value / factor).rounded(), Float(limits.lowerBound)), Float(limits.upperBound))
  }

  private static func around(_ step: Float, _ limits: ClosedRange<Int>) -> [Float] {
    [step, step - 1, step + 1].filter { Float(limits.lowerBound) <= $0 && $0 <= Float(limits.upperBound) }
  }

  /// The integers around a value in units of a factor: the nearest one first.
  static func around(_ value: Float, _ factor: Float, _ limits: ClosedRange<Int>) -> [Float] {
    around(nearest(value, factor, limits), limits)
  }

  private func error(_ weights: Span<Float>, _ importance: Span<Float>, scale: Float, bias: Float) -> Float {
    let inverse = scale == 0 ? 0 : 1 / scale
    var sum: Float = 0
    for i in weights.indices {
      let code = min(max((weights[i] - bias) * inverse, 0), top).rounded(.toNearestOrEven)
      let difference = scale * code + bias - weights[i]
      sum += importance[i] * difference * difference
    }
    return sum
  }
}

extension BlockFit {
  /// Finds a good scale for each group.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, the columns whole groups.
  ///   - importance: `[columns]`.
  ///   - clipped: `[rows, groups]`, those of free tables.
  /// - Returns: `[rows, groups]`.
  func scales(_ weights: Span<Float>, importance: Span<Float>, clipped: Span<Float>) -> [Float] {
    let groupsPerRow = importance.count / kind.groupSize
    return clipped.indices.map { group in
      let column = group % groupsPerRow * kind.groupSize
      return scale(
        weights.extracting(group * kind.groupSize..<(group + 1) * kind.groupSize),
        importance: importance.extracting(column..<column + kind.groupSize), clipped: clipped[group])
    }
  }

  /// Chooses the tables of whole rows.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, the columns whole blocks.
  ///   - importance: `[columns]`.
  ///   - scales: `[rows, groups]`, of full precision.
  ///   - biases: `[rows, groups]`, of full precision.
  /// - Returns: Tables as they are stored.
  func tables(
    _ weights: Span<Float>, importance: Span<Float>, scales: Span<Float>, biases: Span<Float>
  ) -> BlockTables {
    let (groupSize, groupCount) = (kind.groupSize, kind.groupCount)
    let groupsPerRow = importance.count / groupSize
    var (scaleFactors, biasFactors): ([Float], [Float]) = ([], [])
    var (scaleSteps, biasSteps): ([Float], [Float]) = ([], [])
    let fitting = self.scales(weights, importance: importance, clipped: scales)
    for block in 0..<scales.count / groupCount {
      let groups = block * groupCount..<(block + 1) * groupCount
      let factors = factors(scales: fitting.span.extracting(groups), biases: biases.extracting(groups))
      scaleFactors.append(factors.scale)
      biasFactors.append(factors.bias)
      for group in groups {
        let column = group % groupsPerRow * groupSize
        let steps = steps(
          weights.extracting(group * groupSize..<(group + 1) * groupSize),
          importance: importance.extracting(column..<column + groupSize), scale: fitting[group],
          bias: biases[group], factors)
        scaleSteps.append(steps.scale)
        biasSteps.append(steps.bias)
      }
    }
    return BlockTables(
      kind: kind, scaleSteps: scaleSteps, biasSteps: biasSteps, scaleFactors: scaleFactors,
      biasFactors: biasFactors)
  }
}

extension QuantizationGrid {
  /// Rounds scales and biases to what is stored, for weights without zero points.
  ///
  /// - Parameters:
  ///   - scales: `[rows, groups]`, of full precision.
  ///   - biases: `[rows, groups]`, of full precision.
  ///   - weights: `[rows, columns]`, finite.
  ///   - importance: `[columns]`.
  /// - Returns: Tables as they are stored.
  func stored(
    scales: [Float], biases: [Float], for weights: [Float], importance: [Float]
  ) -> GroupTables {
    guard let kind = layout.superBlock else {
      return GroupTables(scales: stored(scales), biases: stored(biases))
    }
    return GroupTables(
      BlockFit(kind: kind).tables(
        weights.span, importance: importance.span, scales: scales.span, biases: biases.span))
  }

  /// The tables of super-blocks as they are stored: factors in half precision.
  func stored(_ blocks: BlockTables) -> GroupTables {
    var stored = blocks
    stored.factors = blocks.factors.map(BlockFit.stored)
    return GroupTables(stored)
  }
}
