import CKernels
import Foundation

/// Computes the exponential of each value like the other kernels, with a relative error of at most 3e-7.
///
/// Exact at 0. Values are first clamped to -87.33654 … 88.37626, so that nothing overflows.
///
/// - Parameters:
///   - x: The exponents.
///   - y: Same length as `x`.
///   - set: The instructions to use.
package func exponential(_ x: Span<Float>, into y: inout MutableSpan<Float>, on set: InstructionSet = .best) {
  let count = x.count
  precondition(y.count == count, "\(count) exponents, \(y.count) results")
  unsafe writing(&y) { y in unsafe reading(x) { x in unsafe ck_exp(set.rawValue, x, count, y) } }
}

/// e^x in double precision, for the plain versions of kernels.
func exactExponential(_ x: Double) -> Double { exp(x) }

/// The natural logarithm in double precision, for the plain versions of kernels.
func exactLogarithm(_ x: Double) -> Double { log(x) }

/// The hyperbolic tangent in double precision, for the plain versions of kernels.
func exactHyperbolicTangent(_ x: Double) -> Double { tanh(x) }

/// The normal distribution's integral up to `x` in double precision, for the plain versions of kernels.
func exactNormalIntegral(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
