internal import Kernels

/// The transpose of a matrix of 32-bit words.
///
/// - Parameters:
///   - words: `[rowCount, columnCount]`, row-major.
///   - rowCount: The rows.
///   - columnCount: The columns.
/// - Returns: `[columnCount, rowCount]`, row-major, as bytes.
func transposedWords(_ words: RawSpan, rowCount: Int, columnCount: Int) -> [UInt8] {
  precondition(words.byteCount == 4 * rowCount * columnCount, "\(words.byteCount) bytes of words")
  var transposed = [UInt8](repeating: 0, count: words.byteCount)
  guard !transposed.isEmpty else { return [] }
  var span = transposed.mutableSpan
  parallelRows(of: &span, columnCount: 4 * rowCount, rowsPerChunk: 64) { columns, part in
    // All words of a row, which are adjacent in memory, are used before the next row is read.
    for row in 0..<rowCount {
      for column in columns {
        let word: UInt32 = words.integer(at: 4 * (row * columnCount + column))
        let offset = 4 * ((column - columns.lowerBound) * rowCount + row)
        part[offset] = UInt8(truncatingIfNeeded: word)
        part[offset + 1] = UInt8(truncatingIfNeeded: word >> 8)
        part[offset + 2] = UInt8(truncatingIfNeeded: word >> 16)
        part[offset + 3] = UInt8(truncatingIfNeeded: word >> 24)
      }
    }
  }
  return transposed
}
