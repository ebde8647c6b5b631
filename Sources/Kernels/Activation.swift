import CKernels

/// The activation of a feed-forward layer.
package enum Activation: Sendable, Equatable {
  /// `x * sigmoid(x)`.
  case silu
  /// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2`.
  case geluTanh
  /// `x * (1 + erf(x / sqrt(2))) / 2`.
  case gelu
  /// `g * sigmoid(1.702 * g)` of `g = min(x, limit)`; as a gate it multiplies `1 + up` with `up` clamped to
  /// `-limit ... limit`, as in gpt-oss. The limit is positive.
  case clampedSiLU(limit: Float)

  fileprivate var forC: ck_activation {
    switch self {
    case .silu: ck_activation(kind: Int32(CK_SILU), limit: 0)
    case .geluTanh: ck_activation(kind: Int32(CK_GELU_TANH), limit: 0)
    case .gelu: ck_activation(kind: Int32(CK_GELU), limit: 0)
    case .clampedSiLU(let limit): ck_activation(kind: Int32(CK_CLAMPED_SILU), limit: limit)
    }
  }
}

/// Activates values.
///
/// - Parameters:
///   - activation: The activation.
///   - x: Values of any count.
///   - output: Same length.
///   - set: The instructions to use.
package func activate(
  _ activation: Activation, _ x: Span<Float>, into output: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let count = x.count
  precondition(output.count == count, "\(count), \(output.count) values")
  unsafe writing(&output) { output in
    unsafe reading(x) { x in unsafe ck_activate(set.rawValue, activation.forC, x, count, output) }
  }
}

/// Computes the gradient of the values that `activate` got; the old contents of the output are overwritten.
///
/// - Parameters:
///   - activation: The activation.
///   - x: As given to `activate`.
///   - gradient: The gradient of its output.
///   - inputGradient: Same length.
///   - set: The instructions to use.
package func activateBackward(
  _ activation: Activation, _ x: Span<Float>, gradient: Span<Float>,
  into inputGradient: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = x.count
  precondition(
    gradient.count == count && inputGradient.count == count,
    "\(count) values, \(gradient.count) and \(inputGradient.count) gradients")
  unsafe writing(&inputGradient) { inputGradient in
    unsafe reading(x, gradient) { x, gradient in
      unsafe ck_activate_backward(set.rawValue, activation.forC, x, gradient, count, inputGradient)
    }
  }
}

/// The gated activation of a feed-forward layer: `activation(gate) * up`, or `activation(gate) * (1 + up)`
/// with clamped `up` if the activation is clamped.
///
/// - Parameters:
///   - activation: The activation.
///   - gate: Values of any count.
///   - up: Same length.
///   - output: Same length.
///   - set: The instructions to use.
package func activate(
  _ activation: Activation, gate: Span<Float>, up: Span<Float>, into output: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let count = gate.count
  precondition(up.count == count && output.count == count, "\(count), \(up.count), \(output.count) values")
  unsafe writing(&output) { output in
    unsafe reading(gate, up) { gate, up in
      unsafe ck_gate(set.rawValue, activation.forC, gate, up, count, output)
    }
  }
}

/// Computes the gradients of a gated activation; the old contents of the two outputs are overwritten.
///
/// - Parameters:
///   - activation: The activation.
///   - gate: As given to `activate`.
///   - up: As given to `activate`.
///   - gradient: The gradient of its output.
///   - gateGradient: Same length.
///   - upGradient: Same length.
///   - set: The instructions to use.
package func activateBackward(
  _ activation: Activation, gate: Span<Float>, up: Span<Float>, gradient: Span<Float>,
  gateGradient: inout MutableSpan<Float>, upGradient: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let count = gate.count
  precondition(
    up.count == count && gradient.count == count, "\(count), \(up.count), \(gradient.count) values")
  precondition(
    gateGradient.count == count && upGradient.count == count,
    "\(count) values, \(gateGradient.count) and \(upGradient.count) gradients")
  unsafe writing(&gateGradient, &upGradient) { gateGradient, upGradient in
    unsafe reading(gate, up, gradient) { gate, up, gradient in
      unsafe ck_gate_backward(
        set.rawValue, activation.forC, gate, up, gradient, count, gateGradient, upGradient)
    }
  }
}

extension Activation {
  /// The value at a point in double precision, which defines the kernels.
  package func reference(_ x: Double) -> Double {
    switch self {
    case .silu: return x * sigmoid(x)
    case .geluTanh: return x * sigmoid(2 * Self.tanhArgument(x))
    case .gelu: return x * exactNormalIntegral(x)
    case .clampedSiLU(let limit):
      let clamped = min(x, Double(limit))
      return clamped * sigmoid(Self.steepness * clamped)
    }
  }

  /// The derivative at a point in double precision, which defines the kernels.
  package func referenceSlope(_ x: Double) -> Double {
    switch self {
    case .silu: return sigmoid(x) * (1 + x * sigmoid(-x))
    case .geluTanh:
      let s = sigmoid(2 * Self.tanhArgument(x))
      let inner = 2 * Self.tanhFactor * (1 + 3 * Self.cubeFactor * x * x)
      return s + x * s * sigmoid(-2 * Self.tanhArgument(x)) * inner
    case .gelu:
      return exactNormalIntegral(x) + x * exactExponential(-x * x / 2) / (2 * Double.pi).squareRoot()
    case .clampedSiLU(let limit):
      guard x <= Double(limit) else { return 0 }
      let s = sigmoid(Self.steepness * x)
      return s * (1 + Self.steepness * x * (1 - s))
    }
  }

  /// What the activated gate is multiplied by, in double precision.
  package func referenceFactor(up: Double) -> Double {
    guard case .clampedSiLU(let limit) = self else { return up }
    return 1 + min(max(up, -Double(limit)), Double(limit))
  }

  /// The derivative of `referenceFactor`.
  package func referenceFactorSlope(up: Double) -> Double {
    guard case .clampedSiLU(let limit) = self else { return 1 }
    return abs(up) <= Double(limit) ? 1 : 0
  }

  private static var steepness: Double { 1.702 }
  private static var cubeFactor: Double { 0.044715 }
  private static var tanhFactor: Double { (2 / Double.pi).squareRoot() }

  private static func tanhArgument(_ x: Double) -> Double { tanhFactor * (x + cubeFactor * x * x * x) }
}

private func sigmoid(_ x: Double) -> Double { 1 / (1 + exactExponential(-x)) }
