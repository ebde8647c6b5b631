import Checkpoints
import Kernels

/// Chooses the scale and the zero point of groups whose weights are `scale · (code - zero point)`.
///
/// The zero point 0 is not chosen: GPTQ's first version stores zero points less one.
struct ZeroPointFit {
  private let grid: ZeroPointGrid
  private let bits: Int
  private let groupSize: Int
  private let top: Float
  /// The zero points to choose from.
  let choices: ClosedRange<Int>

  /// Nil for a layout without zero points.
  init?(_ layout: QuantizedLayout) {
    guard case .zeroPoint(let grid, let bits, let groupSize) = layout else { return nil }
    self.grid = grid
    self.bits = bits
    self.groupSize = groupSize
    top = Float(1 << bits - 1)
    let range = grid.range(bits: bits)
    choices = max(range.lowerBound, 1)...range.upperBound
  }

  /// A scale of full precision and a zero point.
  private struct Table {
    var scale: Float
    var zeroPoint: Float
  }

  private func nearest(_ value: Float) -> Float {
    // Of NaN, which a scale of zero gives, the middle.
    guard value.isFinite else { return Float(1 << (bits - 1)) }
    return min(max(value.rounded(), Float(choices.lowerBound)), Float(choices.upperBound))
  }

  /// The scale and zero point that cover a range and zero by rounding to nearest; the range becomes
  /// symmetric if there is no choice.
  private func covering(_ low: Float, _ high: Float) -> Table {
    guard choices.count > 1 else {
      return Table(scale: 2 * max(-low, high) / top, zeroPoint: Float(choices.lowerBound))
    }
    let scale = (high - low) / top
    return Table(scale: scale, zeroPoint: nearest(-low / scale))
  }

  /// The zero points that the search tries: all of 2 bits, otherwise the three around the covering one.
  private func candidates(_ low: Float, _ high: Float) -> ClosedRange<Int> {
    guard choices.count > 3 else { return choices }
    let middle = Int(covering(low, high).zeroPoint)
    return max(choices.lowerBound, middle - 1)...min(choices.upperBound, middle + 1)
  }
}

extension ZeroPointFit {
  /// The shares of the scale that just covers a group, which the search tries.
  private static let clippingFactors: [Float] = (0...14).map { 1 - 0.05 * Float($0) }
  /// The number of times that the found scale is fitted to its codes.
  private static let fits = 2

  /// The weights of a group in lanes, and the weight of each squared error.
  private struct Group {
    private(set) var weights: [SIMD8<Float>] = []
    private(set) var importance: [SIMD8<Float>] = []
    /// The least and the greatest weight, or zero.
    private(set) var (low, high): (Float, Float) = (0, 0)

    init(_ values: Span<Float>, importance shares: Span<Float>) {
      for i in stride(from: 0, to: values.count, by: 8) {
        var (weight, share) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
        for lane in 0..<min(8, values.count - i) {
          (weight[lane], share[lane]) = (values[i + lane], shares[i + lane])
        }
        weights.append(weight)
        importance.append(share)
        (low, high) = (min(low, weight.min()), max(high, weight.max()))
      }
    }
  }

  /// The codes nearest to weights, less the zero point.
  private func steps(_ weights: SIMD8<Float>, _ table: Table) -> SIMD8<Float> {
    // Adding and subtracting this number rounds halves to even.
    let rounding = SIMD8<Float>(repeating: 0x1.8p23)
    let position = (weights * (1 / table.scale)).clamped(
      lowerBound: SIMD8(repeating: -table.zeroPoint), upperBound: SIMD8(repeating: top - table.zeroPoint))
    return position + rounding - rounding
  }

  private func error(_ group: Group, _ table: Table) -> Float {
    var sums = SIMD8<Float>.zero
    for i in group.weights.indices {
      let difference = steps(group.weights[i], table) * table.scale - group.weights[i]
      sums += group.importance[i] * difference * difference
    }
    return sums.sum()
  }

  /// The best scale for the codes that a table gives; nil when all of them are zero.
  private func fitted(_ group: Group, _ table: Table) -> Float? {
    var (products, squares) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
    for i in group.weights.indices {
      let steps = steps(group.weights[i], table)
      products += group.importance[i] * steps * group.weights[i]
      squares += group.importance[i] * steps * steps
    }
    let (product, square) = (products.sum(), squares.sum())
    return square > 0 && product > 0 ? product / square : nil
  }

  /// Finds the table with the least error: scales that cover the group or clip it, then a fit to the codes.
  private func searched(_ group: Group) -> Table {
    var best = Table(scale: 0, zeroPoint: Float(choices.lowerBound))
    var least = Float.infinity
    func attempt(_ table: Table) {
      // Its inverse must be finite.
      guard table.scale >= .leastNormalMagnitude * 4 else { return }
      let error = error(group, table)
      if error < least { (least, best) = (error, table) }
    }
    for zeroPoint in candidates(group.low, group.high) {
      let zero = Float(zeroPoint)
      let reach = max(-group.low / zero, zero < top ? group.high / (top - zero) : 0)
      for factor in Self.clippingFactors { attempt(Table(scale: reach * factor, zeroPoint: zero)) }
    }
    for _ in 0..<Self.fits {
      guard least.isFinite, let scale = fitted(group, best) else { break }
      attempt(Table(scale: scale, zeroPoint: best.zeroPoint))
    }
    return best
  }
}

extension ZeroPointFit {
  /// Finds scales and zero points by a search for the least error.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, finite.
  ///   - importance: The weight of each squared error, `[columns]`.
  ///   - tables: The format of the scales.
  /// - Returns: Tables as they are stored.
  func searched(_ weights: [Float], importance: [Float], tables: FloatFormat) -> GroupTables {
    let (values, shares) = (weights.span, importance.span)
    let found = stride(from: 0, to: weights.count, by: groupSize).map { start in
      let column = start % importance.count
      return searched(
        Group(
          values.extracting(start..<start + groupSize),
          importance: shares.extracting(column..<column + groupSize)))
    }
    return stored(found, groupsPerRow: importance.count / groupSize, tables)
  }

  /// Takes the scales that cover each group, as round to nearest does.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, finite.
  ///   - columns: A multiple of the group size.
  ///   - tables: The format of the scales.
  /// - Returns: Tables as they are stored.
  func covering(_ weights: [Float], columns: Int, tables: FloatFormat) -> GroupTables {
    let found = stride(from: 0, to: weights.count, by: groupSize).map { start in
      var (low, high): (Float, Float) = (0, 0)
      for value in weights[start..<start + groupSize] { (low, high) = (min(low, value), max(high, value)) }
      return covering(low, high)
    }
    return stored(found, groupsPerRow: columns / groupSize, tables)
  }

  /// Takes given scales with the zero points nearest to given biases.
  ///
  /// - Parameters:
  ///   - scales: `[rows, groups]`, of full precision.
  ///   - biases: `[rows, groups]`, of full precision.
  ///   - groupsPerRow: The groups of a row.
  ///   - tables: The format of the scales.
  /// - Returns: Tables as they are stored.
  func nearest(scales: [Float], biases: [Float], groupsPerRow: Int, tables: FloatFormat) -> GroupTables {
    let found = zip(scales, biases).map { Table(scale: $0, zeroPoint: nearest(-$1 / $0)) }
    return stored(found, groupsPerRow: groupsPerRow, tables)
  }

  private func stored(_ found: [Table], groupsPerRow: Int, _ tables: FloatFormat) -> GroupTables {
    GroupTables(
      scales: tables.storedScales(found.map(\.scale)),
      ZeroPoints(
        grid: grid, bits: bits, groupsPerRow: groupsPerRow, values: found.map { UInt8($0.zeroPoint) }))
  }
}

extension FloatFormat {
  /// The scales as they are stored, none of them subnormal, zero or infinite: a group of zeros has the least
  /// normal scale.
  func storedScales(_ scales: [Float]) -> [Float] {
    let (least, limit) = (leastNormal, greatestFinite)
    return rounded(
      scales.map { scale in
        // What is not finite is reported elsewhere.
        guard scale.isFinite else { return scale }
        return min(max(abs(scale), least), limit) * (scale < 0 ? -1 : 1)
      })
  }

  /// Rounds values to the format.
  func rounded(_ values: [Float]) -> [Float] {
    self == .f32 ? values : widened(narrowed(values, to: self), from: self)
  }
}
