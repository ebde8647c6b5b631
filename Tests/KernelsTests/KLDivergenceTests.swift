import Kernels
import Testing

@Suite struct KLDivergenceTests {
  /// The exponentials are 3e-7 off and logits up to 10; the logarithms of the sums are off by the same.
  private let error = 6e-6

  @Test(arguments: InstructionSet.supported, [1, 15, 16, 17, 511, 512, 513, 1500])
  func `compares rows as the plain loop does`(set: InstructionSet, count: Int) {
    let reference = randomFloats(count, seed: 1, size: 10)
    let candidate = zip(reference, randomFloats(count, seed: 2)).map { $0 + $1 }
    let actual = klDivergenceRow(reference: reference.span, candidate: candidate.span, on: set)
    let expected = klDivergenceRowReference(reference: reference.span, candidate: candidate.span)
    #expect(abs(actual.kl - expected.kl) < error)
    #expect(actual.maxAbsoluteDifference == expected.maxAbsoluteDifference)
    #expect(actual.sameTop == expected.sameTop)
    #expect(abs(actual.referenceLogSumExp - expected.referenceLogSumExp) < error)
    #expect(abs(actual.candidateLogSumExp - expected.candidateLogSumExp) < error)
  }

  @Test(arguments: InstructionSet.supported)
  func `is exactly zero for equal rows`(set: InstructionSet) {
    let row = randomFloats(777, seed: 3, size: 20)
    let divergence = klDivergenceRow(reference: row.span, candidate: row.span, on: set)
    #expect(divergence.kl == 0 && divergence.maxAbsoluteDifference == 0 && divergence.sameTop)
  }

  @Test(arguments: InstructionSet.supported)
  func `is near zero for rows that differ by a constant`(set: InstructionSet) {
    let row = randomFloats(777, seed: 4, size: 8).map { ($0 * 1024).rounded() / 1024 }
    let moved = row.map { $0 + 0.5 }
    let divergence = klDivergenceRow(reference: row.span, candidate: moved.span, on: set)
    #expect(abs(divergence.kl) < 1e-12 && divergence.maxAbsoluteDifference == 0.5)
  }

  @Test(arguments: InstructionSet.supported)
  func `shows a NaN logit`(set: InstructionSet) {
    let row = randomFloats(40, seed: 5)
    var broken = row
    broken[3] = .nan
    let divergence = klDivergenceRow(reference: row.span, candidate: broken.span, on: set)
    #expect(divergence.kl.isNaN && divergence.maxAbsoluteDifference.isNaN)
  }

  @Test(arguments: InstructionSet.supported, [1, 5, 16, 17, 33, 100])
  func `finds the lowest index of the greatest value`(set: InstructionSet, count: Int) {
    var row = randomFloats(count, seed: 6)
    #expect(argMax(row.span, on: set) == argMaxReference(row.span))
    for index in 0..<count {
      row = randomFloats(count, seed: 6)
      row[index] = 2
      row[count - 1] = 2
      #expect(argMax(row.span, on: set) == index)
    }
  }

  @Test(arguments: InstructionSet.supported)
  func `passes over NaNs for the greatest value`(set: InstructionSet) {
    let rows: [(row: [Float], expected: Int)] = [
      ([.nan, -.infinity, .nan], 1), ([.nan, .nan], 0), ([.nan, 1, 3, .nan, 3], 2),
    ]
    for (row, expected) in rows { #expect(argMax(row.span, on: set) == expected) }
  }
}
