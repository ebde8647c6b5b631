import Foundation
import Kernels
import Testing

@Suite struct ExponentialTests {
  /// The bound that the documentation gives: the polynomial's 1e-7 and the roundings of a few f32 steps.
  private let relativeError = 3e-7

  private func exponentials(_ x: [Float], on set: InstructionSet) -> [Float] {
    var y = x
    var span = y.mutableSpan
    exponential(x.span, into: &span, on: set)
    return y
  }

  @Test(arguments: InstructionSet.supported)
  func `stays within its error over its range`(set: InstructionSet) {
    let x = stride(from: Float(-87), through: 88, by: 0.0007).map { $0 }
    var worst = 0.0
    for (x, y) in zip(x, exponentials(x, on: set)) { worst = max(worst, abs(Double(y) / exp(Double(x)) - 1)) }
    #expect(worst < relativeError)
  }

  @Test(arguments: InstructionSet.supported)
  func `is exact at zero, clamps outside and keeps NaN`(set: InstructionSet) {
    let y = exponentials([0, -0.0, -.infinity, -1000, .infinity, 1000, .nan], on: set)
    #expect(y[0] == 1 && y[1] == 1)
    #expect(y[2] == y[3] && y[2] > 0 && y[2] < 1.2e-38)
    #expect(y[4] == y[5] && y[4].isFinite && y[4] > 2e38)
    #expect(y[6].isNaN)
  }
}
