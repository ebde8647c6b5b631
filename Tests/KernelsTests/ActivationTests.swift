import Kernels
import Testing

@Suite struct ActivationTests {
  private static let counts = [1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100]
  private static let activations: [Activation] = [.silu, .geluTanh, .gelu, .clampedSiLU(limit: 7)]
  private static let cases = InstructionSet.supported.flatMap { set in activations.map { (set, $0) } }

  /// An exponential is 3e-7 off and at most ten roundings of 2^-24 follow.
  private let exponentialError: Float = 1e-6
  /// The exponent of a tail is a square of up to 25, or a cube of up to 15, rounded to f32.
  private let tailError: Float = 4e-6

  @Test(arguments: cases)
  func `activates as the plain function does`(set: InstructionSet, activation: Activation) {
    let x = stride(from: Float(-5), through: 12, by: 0.001).map { $0 }
    var actual = x
    var span = actual.mutableSpan
    activate(activation, x.span, into: &span, on: set)
    expectClose(
      actual, x.map { Float(activation.reference(Double($0))) }, relative: tailError, absolute: 0)
  }

  @Test(arguments: cases)
  func `turns back gradients of activated values as the plain function does`(
    set: InstructionSet, activation: Activation
  ) {
    let x = stride(from: Float(-12), through: 12, by: 0.0013).map { $0 }
    let gradient = randomFloats(x.count, seed: 1)
    var actual = x
    var span = actual.mutableSpan
    activateBackward(activation, x.span, gradient: gradient.span, into: &span, on: set)
    let expected = zip(x, gradient).map { Float(activation.referenceSlope(Double($0)) * Double($1)) }
    // The slope is a sum of terms of up to 20, of which some cancel.
    expectClose(actual, expected, relative: tailError, absolute: 20 * exponentialError)
  }

  @Test(arguments: cases, counts)
  func `gates as the plain function does`(
    of which: (set: InstructionSet, activation: Activation), count: Int
  ) {
    let (gate, up) = (randomFloats(count, seed: 1, size: 5), randomFloats(count, seed: 2, size: 20))
    var actual = gate
    var span = actual.mutableSpan
    activate(which.activation, gate: gate.span, up: up.span, into: &span, on: which.set)
    let expected = zip(gate, up).map {
      Float(which.activation.reference(Double($0)) * which.activation.referenceFactor(up: Double($1)))
    }
    expectClose(actual, expected, relative: tailError, absolute: 1e-6)
  }

  @Test(arguments: cases, counts)
  func `turns back gated gradients as the plain function does`(
    of which: (set: InstructionSet, activation: Activation), count: Int
  ) {
    let (gate, up) = (randomFloats(count, seed: 1, size: 9), randomFloats(count, seed: 2, size: 9))
    let gradient = randomFloats(count, seed: 3)
    var (gateGradient, upGradient) = (gate, gate)
    var gateSpan = gateGradient.mutableSpan
    var upSpan = upGradient.mutableSpan
    let activation = which.activation
    activateBackward(
      activation, gate: gate.span, up: up.span, gradient: gradient.span, gateGradient: &gateSpan,
      upGradient: &upSpan, on: which.set)
    for i in 0..<count {
      let (g, u, d) = (Double(gate[i]), Double(up[i]), Double(gradient[i]))
      expectClose(
        [gateGradient[i]], [Float(activation.referenceSlope(g) * activation.referenceFactor(up: u) * d)],
        relative: tailError, absolute: 200 * exponentialError)
      expectClose(
        [upGradient[i]], [Float(activation.reference(g) * activation.referenceFactorSlope(up: u) * d)],
        relative: tailError, absolute: exponentialError)
    }
  }

  @Test(arguments: activations)
  func `the plain slope is that of the plain function`(activation: Activation) {
    for x in stride(from: -9.0, through: 9, by: 0.37) {
      let step = 1e-5
      let change = activation.reference(x + step) - activation.reference(x - step)
      #expect(abs(change / (2 * step) - activation.referenceSlope(x)) < 1e-9)
    }
  }

  /// Values of torch 2.13.0 in f64: silu, gelu with approximate tanh and none, and gpt-oss's gate of 1.
  @Test(
    arguments: [
      (.silu, [-0.1422776, -0.1887703, 0.3112297, 2.8577224]),
      (.geluTanh, [-0.0036374, -0.1542860, 0.3457140, 2.9963626]),
      (.gelu, [-0.0040497, -0.1542688, 0.3457312, 2.9959503]),
      (.clampedSiLU(limit: 2), [-0.0180713, -0.1496116, 0.3503884, 1.9356586]),
    ] as [(Activation, [Float])])
  func `has the values of PyTorch`(activation: Activation, expected: [Float]) {
    let x: [Float] = [-3, -0.5, 0.5, 3]
    var actual = x
    var span = actual.mutableSpan
    activate(activation, x.span, into: &span)
    expectClose(actual, expected, relative: 0, absolute: 1e-6)
  }

  @Test(arguments: InstructionSet.supported)
  func `clamps the gate above, and up on both sides`(set: InstructionSet) {
    let (gate, up): ([Float], [Float]) = ([9, -9, 1, 1, 1], [0, 0, 9, -9, 2])
    let gradient = [Float](repeating: 1, count: 5)
    var (output, gateGradient, upGradient) = (gate, gate, gate)
    var span = output.mutableSpan
    activate(.clampedSiLU(limit: 2), gate: gate.span, up: up.span, into: &span, on: set)
    let one = Float(Activation.clampedSiLU(limit: 2).reference(1))
    let expected = [2, -9, 1, 1, 1].map { Float(Activation.clampedSiLU(limit: 9).reference($0)) }
    expectClose(output, zip(expected, [1, 1, 3, -1, 3]).map(*), relative: tailError, absolute: 0)
    var gateSpan = gateGradient.mutableSpan
    var upSpan = upGradient.mutableSpan
    activateBackward(
      .clampedSiLU(limit: 2), gate: gate.span, up: up.span, gradient: gradient.span, gateGradient: &gateSpan,
      upGradient: &upSpan, on: set)
    #expect(gateGradient[0] == 0 && gateGradient[1] != 0)
    expectClose(Array(upGradient[2...]), [0, 0, one], relative: tailError, absolute: 0)
  }

  @Test(arguments: cases)
  func `extremes do not overflow`(set: InstructionSet, activation: Activation) {
    let x: [Float] = [-1e30, -1000, -88, 88, 1000, 1e30, 0, .nan]
    let up = [Float](repeating: 1, count: x.count)
    var (output, slopes, upGradient) = (x, x, x)
    var span = output.mutableSpan
    activate(activation, gate: x.span, up: up.span, into: &span, on: set)
    #expect(abs(output[1]) < 1e-33 && abs(output[2]) < 1e-34 && output[6] == 0 && output[7].isNaN)
    if case .clampedSiLU = activation {
      #expect(abs(output[3] - 14) < 1e-3)
    } else {
      #expect(output[3] == 88 && output[4] == 1000 && output[5] == 1e30)
    }
    var slopeSpan = slopes.mutableSpan
    var upSpan = upGradient.mutableSpan
    activateBackward(
      activation, gate: x.span, up: up.span, gradient: up.span, gateGradient: &slopeSpan,
      upGradient: &upSpan, on: set)
    #expect(slopes.dropLast().allSatisfy { abs($0) <= 1 } && slopes[7].isNaN)
  }
}
