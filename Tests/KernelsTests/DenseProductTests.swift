import Kernels
import Testing

@Suite struct DenseProductTests {
  @Test(arguments: InstructionSet.supported, FloatFormat.allCases)
  func `multiplies stored rows with the bits of widening them first`(
    set: InstructionSet, format: FloatFormat
  ) {
    for columnCount in [1, 7, 16, 31, 32, 40, 64, 97, 600] {
      let rowCount = 5
      let weights = narrowed(randomFloats(rowCount * columnCount, seed: 1, size: 3), to: format)
      let x = randomFloats(columnCount, seed: 2)
      var actual = [Float](repeating: 7, count: rowCount)
      var actualSpan = actual.mutableSpan
      multiplyDenseRows(weights.span.bytes, of: format, x: x.span, into: &actualSpan, on: set)
      let wide = widened(weights, from: format)
      let separate = (0..<rowCount).map {
        dot(wide.span.extracting($0 * columnCount..<($0 + 1) * columnCount), x.span, on: set)
      }
      #expect(bits(actual) == bits(separate), "\(columnCount) columns")
      var expected = [Float](repeating: 0, count: rowCount)
      var expectedSpan = expected.mutableSpan
      multiplyDenseRowsReference(weights.span.bytes, of: format, x: x.span, into: &expectedSpan)
      expectClose(actual, expected, relative: 0, absolute: Float(columnCount + 4) * 0x1p-24 * 3)
    }
  }
}
