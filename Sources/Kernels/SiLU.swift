/// The gated activation `gate * sigmoid(gate) * up`; see `activate`.
package func siluMultiply(
  gate: Span<Float>, up: Span<Float>, into output: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  activate(.silu, gate: gate, up: up, into: &output, on: set)
}

/// Computes the gradients of `siluMultiply`; see `activateBackward`.
package func siluMultiplyBackward(
  gate: Span<Float>, up: Span<Float>, gradient: Span<Float>, gateGradient: inout MutableSpan<Float>,
  upGradient: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  activateBackward(
    .silu, gate: gate, up: up, gradient: gradient, gateGradient: &gateGradient, upGradient: &upGradient,
    on: set)
}
