/// Computes `1 / (1 + exp(-x))` of each value.
///
/// - Parameters:
///   - x: Values of any count.
///   - output: Same length.
package func sigmoid(_ x: Span<Float>, into output: inout MutableSpan<Float>) {
  let count = x.count
  precondition(output.count == count, "\(count), \(output.count) values")
  ScratchPool.shared.withScratch(count) { negative in
    for i in 0..<count { negative[i] = -x[i] }
    exponential(negative.span, into: &output)
  }
  for i in 0..<count { output[i] = 1 / (1 + output[i]) }
}
