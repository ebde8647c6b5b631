import Kernels
import Testing

@Suite struct InstructionSetTests {
  /// The kernels whose results are compared with their plain loops only within a tolerance.
  enum Kernel: CaseIterable {
    case exponential, logSumExp, softmax, softmaxBackward, crossEntropy, klDivergence, silu, siluBackward
    case geluTanh, gelu, clampedSiLU, capScores, layerNorm, layerNormBackward
    case rmsNorm, rmsNormBackward, dot, poolGroups, reduceByCodes, adam

    /// Runs on fixed input; all that comes out, as floats.
    func results(count n: Int, on set: InstructionSet) -> [Float] {
      let (a, b) = (randomFloats(n, seed: 1, size: 5), randomFloats(n, seed: 2, size: 5))
      let c = randomFloats(n, seed: 3)
      var (x, y, z) = (randomFloats(n, seed: 4, size: 5), randomFloats(n, seed: 5), c.map { abs($0) })
      var xs = x.mutableSpan
      var ys = y.mutableSpan
      var zs = z.mutableSpan
      var numbers: [Double] = []
      switch self {
      case .exponential: Kernels.exponential(a.span, into: &xs, on: set)
      case .logSumExp: numbers = [Double(Kernels.logSumExp(a.span, on: set))]
      case .softmax: Kernels.softmax(&xs, validCount: n - n / 3, scale: 0.3, sink: 0.5, on: set)
      case .softmaxBackward:
        Kernels.softmaxBackward(probabilities: a.span, gradient: &xs, scale: 0.3, on: set)
      case .crossEntropy: numbers = [crossEntropyRow(logits: &xs, target: n / 2, gradientScale: 0.1, on: set)]
      case .klDivergence:
        let row = klDivergenceRow(reference: a.span, candidate: b.span, on: set)
        numbers = [row.kl, row.referenceLogSumExp, row.candidateLogSumExp]
      case .silu: activate(.silu, gate: a.span, up: b.span, into: &xs, on: set)
      case .siluBackward: gateBackward(.silu, a, b, c, &xs, &ys, set)
      case .geluTanh: gateBackward(.geluTanh, a, b, c, &xs, &ys, set)
      case .gelu: gateBackward(.gelu, a, b, c, &xs, &ys, set)
      case .clampedSiLU: gateBackward(.clampedSiLU(limit: 1), a, b, c, &xs, &ys, set)
      case .capScores:
        Kernels.capScores(&xs, scale: 0.3, cap: 2, on: set)
        capScoresBackward(scores: c.span, cap: 2, gradient: &ys, on: set)
      case .layerNorm:
        let statistics = Kernels.layerNorm(
          a.span, weight: b.span, bias: c.span, epsilon: 1e-5, into: &xs, on: set)
        numbers = [Double(statistics.mean), Double(statistics.inverseDeviation)]
      case .layerNormBackward:
        Kernels.layerNormBackward(
          row: a.span, weight: b.span, statistics: LayerNormStatistics(mean: 0.3, inverseDeviation: 0.4),
          gradient: c.span, accumulateInto: &xs, on: set)
      case .rmsNorm: Kernels.rmsNorm(a.span, weight: b.span, epsilon: 1e-5, into: &xs, on: set)
      case .rmsNormBackward:
        Kernels.rmsNormBackward(
          row: a.span, weight: b.span, inverseRMS: 0.4, gradient: c.span, accumulateInto: &xs, on: set)
      case .dot: numbers = [Double(Kernels.dot(a.span, b.span, on: set))]
      case .poolGroups:
        let row = randomFloats(8 * n, seed: 6)
        Kernels.poolGroups(row.span, groupSize: 8, into: &xs, on: set)
      case .reduceByCodes:
        let (gradient, codes) = (randomFloats(8 * n, seed: 6), randomBytes(2 * n, seed: 7))
        Kernels.reduceByCodes(
          weightGradient: gradient.span, codes: codes.span.bytes, bits: 2, groupSize: 8, columnCount: 8,
          addTo: &xs, addTo: &ys, on: set)
      case .adam:
        adamStep(
          parameters: &xs, gradients: a.span, firstMoments: &ys, secondMoments: &zs, learningRate: 1e-3,
          beta1: 0.9, beta2: 0.999, epsilon: 1e-8, biasCorrection1: 0.1, biasCorrection2: 0.001, on: set)
      }
      let halves = numbers.flatMap {
        [UInt32($0.bitPattern >> 32), UInt32(truncatingIfNeeded: $0.bitPattern)]
      }
      return x + y + z + halves.map { Float(bitPattern: $0) }
    }

    private func gateBackward(
      _ activation: Activation, _ gate: [Float], _ up: [Float], _ gradient: [Float],
      _ gateGradient: inout MutableSpan<Float>, _ upGradient: inout MutableSpan<Float>, _ set: InstructionSet
    ) {
      activateBackward(
        activation, gate: gate.span, up: up.span, gradient: gradient.span, gateGradient: &gateGradient,
        upGradient: &upGradient, on: set)
    }
  }

  @Test(arguments: InstructionSet.supported, Kernel.allCases)
  func `changes no bit of a result`(set: InstructionSet, kernel: Kernel) {
    for count in [1, 9, 16, 47, 600] {
      #expect(
        bits(kernel.results(count: count, on: set)) == bits(kernel.results(count: count, on: .baseline)))
    }
  }

  @Test func `includes every narrower one`() {
    #expect(InstructionSet.supported.first == .baseline)
    #expect(InstructionSet.supported.last == .best)
  }
}
