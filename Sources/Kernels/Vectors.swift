import CKernels

/// The dot product of two vectors, in 32 lanes of f32 that are added up at the end.
///
/// - Parameters:
///   - x: Values of any count.
///   - y: Same length.
///   - set: The instructions to use.
/// - Returns: The sum of the products.
package func dot(_ x: Span<Float>, _ y: Span<Float>, on set: InstructionSet = .best) -> Float {
  let count = x.count
  precondition(y.count == count, "\(count) and \(y.count) values")
  return unsafe reading(x, y) { x, y in unsafe ck_dot(set.rawValue, x, y, count) }
}

/// The sum of the squares of a vector, added up as in `dot`.
///
/// - Parameters:
///   - x: Values of any count.
///   - set: The instructions to use.
/// - Returns: The sum.
package func sumOfSquares(_ x: Span<Float>, on set: InstructionSet = .best) -> Float { dot(x, x, on: set) }

/// Adds `scale * x` to a vector.
///
/// - Parameters:
///   - x: Values of any count.
///   - scale: Factor of `x`.
///   - y: Same length.
///   - set: The instructions to use.
package func addScaled(
  _ x: Span<Float>, scale: Float = 1, to y: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = x.count
  precondition(y.count == count, "\(count) and \(y.count) values")
  unsafe writing(&y) { y in unsafe reading(x) { x in unsafe ck_add_scaled(set.rawValue, x, count, scale, y) }
  }
}

/// The dot product of two vectors of doubles, in 16 lanes that are added up at the end.
package func dot(_ x: Span<Double>, _ y: Span<Double>, on set: InstructionSet = .best) -> Double {
  let count = x.count
  precondition(y.count == count, "\(count) and \(y.count) values")
  return unsafe reading(x, y) { x, y in unsafe ck_dot_f64(set.rawValue, x, y, count) }
}

/// Adds `scale * x` to a vector of doubles.
package func addScaled(
  _ x: Span<Double>, scale: Double, to y: inout MutableSpan<Double>, on set: InstructionSet = .best
) {
  let count = x.count
  precondition(y.count == count, "\(count) and \(y.count) values")
  unsafe writing(&y) { y in
    unsafe reading(x) { x in unsafe ck_add_scaled_f64(set.rawValue, x, count, scale, y) }
  }
}

/// `dot` as a plain loop in double precision, which defines it.
package func dotReference(_ x: Span<Float>, _ y: Span<Float>) -> Double {
  var sum = 0.0
  for i in x.indices { sum += Double(x[i]) * Double(y[i]) }
  return sum
}

/// `addScaled` as a plain loop, which defines it.
package func addScaledReference(_ x: Span<Float>, scale: Float, to y: inout MutableSpan<Float>) {
  for i in x.indices {
    let product = scale * x[i]
    y[i] += product
  }
}
