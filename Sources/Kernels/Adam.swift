import CKernels

/// One step of Adam, in the order of operations of `torch.optim.Adam`.
///
/// With `m` and `v` the new moments, `parameter -= learningRate / c1 * m / (sqrt(v) / sqrt(c2) + epsilon)`. Where the
/// root is above a limit, its square over the limit takes its place: such a parameter moves less the larger its
/// gradients are, as by the inverse of the Fisher information.
///
/// - Parameters:
///   - parameters: The trained values.
///   - gradients: Same length as `parameters`.
///   - firstMoments: Same length; zeros before the first step.
///   - secondMoments: Same length; zeros before the first step.
///   - learningRate: The size of a step.
///   - beta1: Decay of the first moment.
///   - beta2: Decay of the second moment.
///   - epsilon: Added to the root.
///   - biasCorrection1: `1 - beta1^t` in step `t`, counted from 1.
///   - biasCorrection2: `1 - beta2^t`.
///   - limit: The root of a second moment above which parameters move less; infinity for none.
///   - set: The instructions to use.
package func adamStep(
  parameters: inout MutableSpan<Float>, gradients: Span<Float>, firstMoments: inout MutableSpan<Float>,
  secondMoments: inout MutableSpan<Float>, learningRate: Double, beta1: Double, beta2: Double,
  epsilon: Double, biasCorrection1: Double, biasCorrection2: Double, limit: Double = .infinity,
  on set: InstructionSet = .best
) {
  let count = parameters.count
  precondition(
    gradients.count == count && firstMoments.count == count && secondMoments.count == count,
    "\(count), \(gradients.count), \(firstMoments.count), \(secondMoments.count) values")
  let step = ck_adam(
    step_size: Float(learningRate / biasCorrection1), one_minus_beta1: Float(1 - beta1),
    beta2: Float(beta2), one_minus_beta2: Float(1 - beta2),
    root_of_correction2: Float(biasCorrection2.squareRoot()), epsilon: Float(epsilon),
    inverse_limit: Float(1 / limit))
  unsafe writing(&parameters, &firstMoments, &secondMoments) { parameters, first, second in
    unsafe reading(gradients) { gradients in
      unsafe ck_adam_step(set.rawValue, step, gradients, count, parameters, first, second)
    }
  }
}

/// `adamStep` as a plain loop in double precision, which defines it.
package func adamStepReference(
  parameters: inout MutableSpan<Float>, gradients: Span<Float>, firstMoments: inout MutableSpan<Float>,
  secondMoments: inout MutableSpan<Float>, learningRate: Double, beta1: Double, beta2: Double,
  epsilon: Double, biasCorrection1: Double, biasCorrection2: Double, limit: Double = .infinity
) {
  for i in parameters.indices {
    let g = Double(gradients[i])
    let m = beta1 * Double(firstMoments[i]) + (1 - beta1) * g
    let v = beta2 * Double(secondMoments[i]) + (1 - beta2) * g * g
    let root = (v / biasCorrection2).squareRoot()
    let divisor = max(root, root * root / limit) + epsilon
    firstMoments[i] = Float(m)
    secondMoments[i] = Float(v)
    parameters[i] = Float(Double(parameters[i]) - learningRate / biasCorrection1 * m / divisor)
  }
}
