package import Kernels

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
  ///   - weight: `[rows, columns]`, row-major, finite.
  ///   - format: The type of the elements.
  ///   - rows: The output features.
  ///   - columns: The input features; the group size divides them.
  ///   - name: What errors name.
  /// - Throws: `PassError.notFinite` with the first element that is NaN or infinite.
  package func quantize(
    _ weight: RawSpan, _ format: FloatFormat, rows: Int, columns: Int, name: String
  ) throws -> PackedTensor {
    let chunkCount = (rows + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let rowBytes = columns * format.byteWidth
    let parts = try parallelMap(chunkCount) { chunk in
      let range = chunk * Self.rowsPerChunk..<min((chunk + 1) * Self.rowsPerChunk, rows)
      let bytes = weight.extracting(range.lowerBound * rowBytes..<range.upperBound * rowBytes)
      return try quantizeRows(bytes, format, rows: range, columns: columns, name: name)
    }
    var whole = PackedTensor()
    for part in parts { whole.append(part) }
    return whole
  }

  private func quantizeRows(
    _ bytes: RawSpan, _ format: FloatFormat, rows: Range<Int>, columns: Int, name: String
  ) throws -> PackedTensor {
    let weights = widened(bytes, from: format)
    let tableCount = rows.count * columns / groupSize
    var part = PackedTensor(
      codes: [UInt8](repeating: 0, count: rows.count * columns * bits / 8),
      scales: [Float](repeating: 0, count: tableCount), biases: [Float](repeating: 0, count: tableCount))
    var codes = part.codes.mutableSpan
    var scales = part.scales.mutableSpan
    var biases = part.biases.mutableSpan
    let bad = quantizeRoundToNearest(
      weights.span, bits: bits, groupSize: groupSize, columnCount: columns, codes: &codes, scales: &scales,
      biases: &biases)
    if let bad { throw PassError.notFinite(tensor: name, index: rows.lowerBound * columns + bad) }
    return part
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
