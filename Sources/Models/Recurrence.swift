package import Kernels

/// An operation whose result at a token depends on the earlier tokens through a state of fixed size.
///
/// A token's result and the state after it depend on the tokens only, not on how many of them are computed
/// together, bit for bit.
package protocol Recurrence: Sendable {
  /// The width of the result.
  var outputWidth: Int { get }
  /// Computes the results of some tokens in order.
  ///
  /// - Parameters:
  ///   - x: The inputs, `[tokens, in]`.
  ///   - state: The state before the first token, empty at the beginning of a sequence; becomes that after the
  ///     last one.
  /// - Returns: `[tokens, outputWidth]`.
  func forward(_ x: Matrix, state: inout [Float]) -> Matrix
  /// Computes the gradient of the inputs of a whole window from its first token.
  ///
  /// - Parameters:
  ///   - x: The inputs, `[tokens, in]`.
  ///   - gradient: The gradient of the results, `[tokens, outputWidth]`.
  /// - Returns: `[tokens, in]`.
  func backward(_ x: Matrix, gradient: Matrix) -> Matrix
}

extension Recurrence {
  /// Computes the results of a whole window from its first token.
  package func forward(_ x: Matrix) -> Matrix {
    var state: [Float] = []
    return forward(x, state: &state)
  }
}
