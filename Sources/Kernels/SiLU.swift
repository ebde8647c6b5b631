import CKernels

/// The gated activation of a feed-forward layer: `gate * sigmoid(gate) * up`.
///
/// - Parameters:
///   - gate: Values of any count.
///   - up: Same length.
///   - output: Same length.
///   - set: The instructions to use.
package func siluMultiply(
  gate: Span<Float>, up: Span<Float>, into output: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = gate.count
  precondition(up.count == count && output.count == count, "\(count), \(up.count), \(output.count) values")
  unsafe writing(&output) { output in
    unsafe reading(gate, up) { gate, up in unsafe ck_silu_multiply(set.rawValue, gate, up, count, output) }
  }
}

/// Computes the gradients of `siluMultiply`; the old contents of the two outputs are overwritten.
///
/// - Parameters:
///   - gate: As given to `siluMultiply`.
///   - up: As given to `siluMultiply`.
///   - gradient: The gradient of its output.
///   - gateGradient: Same length.
///   - upGradient: Same length.
///   - set: The instructions to use.
package func siluMultiplyBackward(
  gate: Span<Float>, up: Span<Float>, gradient: Span<Float>, gateGradient: inout MutableSpan<Float>,
  upGradient: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = gate.count
  precondition(
    up.count == count && gradient.count == count, "\(count), \(up.count), \(gradient.count) values")
  precondition(
    gateGradient.count == count && upGradient.count == count,
    "\(count) values, \(gateGradient.count) and \(upGradient.count) gradients")
  unsafe writing(&gateGradient, &upGradient) { gateGradient, upGradient in
    unsafe reading(gate, up, gradient) { gate, up, gradient in
      unsafe ck_silu_multiply_backward(set.rawValue, gate, up, gradient, count, gateGradient, upGradient)
    }
  }
}

/// `siluMultiply` as a plain loop in double precision, which defines it.
package func siluMultiplyReference(gate: Span<Float>, up: Span<Float>, into output: inout MutableSpan<Float>)
{
  for i in output.indices { output[i] = Float(Double(gate[i]) * sigmoid(Double(gate[i])) * Double(up[i])) }
}

/// `siluMultiplyBackward` as a plain loop in double precision, which defines it.
package func siluMultiplyBackwardReference(
  gate: Span<Float>, up: Span<Float>, gradient: Span<Float>, gateGradient: inout MutableSpan<Float>,
  upGradient: inout MutableSpan<Float>
) {
  for i in gate.indices {
    let (g, u, d) = (Double(gate[i]), Double(up[i]), Double(gradient[i]))
    let s = sigmoid(g)
    upGradient[i] = Float(d * g * s)
    gateGradient[i] = Float(d * u * s * (1 + g * (1 - s)))
  }
}

private func sigmoid(_ x: Double) -> Double { 1 / (1 + exactExponential(-x)) }
