import Kernels

/// The codes and tables of one weight, and how far they are from it.
package struct PackedTensor: Sendable {
  /// Packed codes, row by row.
  package var codes: [UInt8] = []
  /// `[rows, columns / groupSize]`.
  package var scales: [Float] = []
  /// `[rows, columns / groupSize]`.
  package var biases: [Float] = []
  /// The sum of the squared differences to the weight.
  package var squaredError = 0.0
  /// The sum of the squared weights.
  package var squaredNorm = 0.0
}

/// Round to nearest: `scale = (max - min) / (2^bits - 1)`, `bias = min` of each group.
///
/// Source: the asymmetric round-to-nearest baseline of RILQ, arXiv:2412.01129, with a float bias.
package struct RoundToNearest: Sendable {
  private static let rowsPerChunk = 64
  private let bits: Int
  private let groupSize: Int

  package init(bits: Int, groupSize: Int) {
    self.bits = bits
    self.groupSize = groupSize
  }

  /// Quantizes a weight, chunks of rows on several threads.
  ///
  /// - Parameters:
  ///   - rows: The output features.
  ///   - columns: The input features; the group size divides them.
  ///   - name: What errors name.
  ///   - read: Writes some rows of the weight, row-major.
  /// - Returns: Codes, tables and the error.
  /// - Throws: `PassError.notFinite` with the first element that is NaN or infinite.
  package func quantize(
    rows: Int, columns: Int, name: String, _ read: @Sendable (Range<Int>, inout MutableSpan<Float>) -> Void
  ) throws -> PackedTensor {
    let chunkCount = (rows + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let parts = try parallelMap(chunkCount) { chunk in
      let range = chunk * Self.rowsPerChunk..<min((chunk + 1) * Self.rowsPerChunk, rows)
      var weights = [Float](repeating: 0, count: range.count * columns)
      var span = weights.mutableSpan
      read(range, &span)
      return try quantizeRows(weights, from: range.lowerBound, columns: columns, name: name)
    }
    var whole = PackedTensor()
    for part in parts { whole.append(part) }
    return whole
  }

  private func quantizeRows(
    _ weights: consuming [Float], from row: Int, columns: Int, name: String
  ) throws -> PackedTensor {
    let tableCount = weights.count / groupSize
    var codes = [UInt8](repeating: 0, count: weights.count * bits / 8)
    var scales = [Float](repeating: 0, count: tableCount)
    var biases = scales
    var codeSpan = codes.mutableSpan
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    let bad = quantizeRoundToNearest(
      weights.span, bits: bits, groupSize: groupSize, columnCount: columns, codes: &codeSpan,
      scales: &scaleSpan, biases: &biasSpan)
    if let bad { throw PassError.notFinite(tensor: name, index: row * columns + bad) }
    var part = PackedTensor(codes: codes, scales: scales, biases: biases)
    (part.squaredError, part.squaredNorm) = part.squaredError(
      of: weights, bits: bits, groupSize: groupSize, columns: columns)
    return part
  }
}

extension PackedTensor {
  /// The squared difference to the weights, and their squared norm.
  fileprivate func squaredError(
    of weights: [Float], bits: Int, groupSize: Int, columns: Int
  ) -> (error: Double, norm: Double) {
    var difference = [Float](repeating: 0, count: weights.count)
    var span = difference.mutableSpan
    let codes = codes.span
    dequantize(
      codes: unsafe codes.bytes, bits: bits, groupSize: groupSize, columnCount: columns, scales: scales.span,
      biases: biases.span, into: &span)
    addScaled(weights.span, scale: -1, to: &span)
    var sums = (error: 0.0, norm: 0.0)
    for start in stride(from: 0, to: weights.count, by: columns) {
      sums.error += Double(sumOfSquares(span.span.extracting(start..<start + columns)))
      sums.norm += Double(sumOfSquares(weights.span.extracting(start..<start + columns)))
    }
    return sums
  }
}

extension PackedTensor {
  fileprivate mutating func append(_ part: PackedTensor) {
    codes += part.codes
    scales += part.scales
    biases += part.biases
    squaredError += part.squaredError
    squaredNorm += part.squaredNorm
  }
}
