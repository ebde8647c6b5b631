internal import Kernels

/// The scales and biases of a module, converted to scales and integer zero points.
struct IntegerTables {
  /// `[out, groups]`, each a value of the target's dtype.
  private(set) var scales: [Float] = []
  /// `[out, groups]`.
  private(set) var zeroPoints: [UInt8] = []
  /// The first group that the target does not hold exactly, and why.
  private(set) var firstLoss: (group: Int, reason: String)?

  /// Whether all zero points are those of symmetric codes.
  func isSymmetric(bits: Int) -> Bool { zeroPoints.allSatisfy { $0 == 1 << (bits - 1) } }

  /// Finds the zero points.
  ///
  /// A group is exact if its scale is a value of the target's dtype and every level is the same when computed
  /// in f32 as `scale * code + bias` and as `scale * (code - zero point)`. Otherwise the zero point and the
  /// scale with the least squared error over the levels are taken; codes do not change.
  ///
  /// - Parameters:
  ///   - scales: `[out, groups]`.
  ///   - biases: `[out, groups]`.
  ///   - bits: The width of a code.
  ///   - format: How the target stores scales.
  ///   - least: The least zero point that can be stored.
  init(scales: [Float], biases: [Float], bits: Int, format: FloatFormat, least: Int) {
    let fitter = GroupFitter(bits: bits, format: format, least: least)
    let stored = widened(narrowed(scales, to: format), from: format)
    self.scales.reserveCapacity(scales.count)
    zeroPoints.reserveCapacity(scales.count)
    for i in scales.indices {
      var group = fitter.candidate(scales[i], biases[i])
      if let reason = fitter.loss(of: group, scales[i], stored: stored[i], bias: biases[i]) {
        firstLoss = firstLoss ?? (i, reason)
        group = fitter.nearest(to: scales[i], biases[i], around: group.zeroPoint)
      }
      self.scales.append(group.scale)
      zeroPoints.append(UInt8(group.zeroPoint))
    }
  }
}

/// Finds the scale and the integer zero point of one group.
private struct GroupFitter {
  let bits: Int
  let format: FloatFormat
  let least: Int

  private var greatest: Int { 1 << bits - 1 }

  /// The scale with the zero point nearest to `-bias / scale` among those that can be stored.
  func candidate(_ scale: Float, _ bias: Float) -> IntegerGroup {
    let quotient = scale == 0 ? Float(1 << (bits - 1)) : (-bias / scale).rounded()
    guard quotient.isFinite else { return IntegerGroup(scale: scale, zeroPoint: 1 << (bits - 1)) }
    return IntegerGroup(
      scale: scale, zeroPoint: Int(min(max(quotient, Float(least)), Float(greatest))))
  }

  /// Why a group is not held exactly, or nil when it is.
  func loss(of group: IntegerGroup, _ scale: Float, stored: Float, bias: Float) -> String? {
    if stored != scale { return "scale \(scale) is \(stored) in \(format.dtype.rawValue)" }
    // Sixteen-bit scales times codes and zero points are exact in f32, so one comparison decides for all
    // levels.
    let isHeld =
      format == .f32 ? group.firstCode(of: bits, missing: bias) == nil : group.level(0) == bias
    if isHeld { return nil }
    if group.level(0) == bias, let code = group.firstCode(of: bits, missing: bias) {
      return "\(code) times scale \(scale) rounds in F32"
    }
    if scale == 0 { return "scale 0 with bias \(bias) has no zero point" }
    let zeroPoint = -bias / scale
    let range = "\(least)...\(greatest)"
    return zeroPoint.rounded() == zeroPoint && !(Float(least)...Float(greatest)).contains(zeroPoint)
      ? "zero point \(Int(exactly: zeroPoint).map(String.init) ?? "\(zeroPoint)") is not in \(range)"
      : "bias \(bias) is not scale \(scale) times a zero point in \(range)"
  }

  /// The group with the least squared error over the levels, its scale rounded to the format.
  ///
  /// The best zero point is next to `-bias / scale`, or the nearest that can be stored.
  func nearest(to scale: Float, _ bias: Float, around zeroPoint: Int) -> IntegerGroup {
    var best = IntegerGroup(scale: 0, zeroPoint: zeroPoint)
    var bestError = Double.infinity
    for zeroPoint in max(least, zeroPoint - 1)...min(greatest, zeroPoint + 1) {
      let fitted = fit(zeroPoint, scale, bias)
      let error = squaredError(of: fitted, scale, bias)
      if error < bestError { (best, bestError) = (fitted, error) }
    }
    return best
  }

  private func fit(_ zeroPoint: Int, _ scale: Float, _ bias: Float) -> IntegerGroup {
    var (product, square) = (0.0, 0.0)
    for code in 0...greatest {
      let step = Double(code - zeroPoint)
      product += step * (Double(scale) * Double(code) + Double(bias))
      square += step * step
    }
    let limit = Double(format.greatestFinite)
    let scale = Float(min(max(product / square, -limit), limit))
    let rounded = widened(narrowed([scale], to: format), from: format)[0]
    // A scale of 0 does not preserve the zero point, so the middle one is written; rewriting the file gives
    // the same.
    return IntegerGroup(scale: rounded, zeroPoint: rounded == 0 ? 1 << (bits - 1) : zeroPoint)
  }

  private func squaredError(of group: IntegerGroup, _ scale: Float, _ bias: Float) -> Double {
    (0...greatest).reduce(0) { sum, code in
      let difference = Double(group.level(code)) - (Double(scale) * Double(code) + Double(bias))
      return sum + difference * difference
    }
  }
}
