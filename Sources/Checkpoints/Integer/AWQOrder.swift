internal import Kernels

/// The order in which AWQ packs codes and zero points: eight outputs in a word.
///
/// Source: AutoAWQ 0.2.9, `WQLinear_GEMM`; `Formats/awq.md` has the picture.
enum AWQOrder {
  /// The width of a code.
  static let bits = 4
  /// The codes of a word.
  static let count = 32 / bits
  /// The field of a word, from the lowest bits up, that has each output.
  private static let fields: [UInt32] = [0, 4, 1, 5, 2, 6, 3, 7]

  private static func code(_ word: UInt32, _ field: UInt32) -> UInt8 {
    UInt8(truncatingIfNeeded: word >> (UInt32(bits) * field) & 15)
  }

  /// Unpacks words.
  ///
  /// - Parameter words: `[rows, outputs / 8]`.
  /// - Returns: `[rows, outputs]`.
  static func codes(_ words: RawSpan) -> [UInt8] {
    (0..<words.byteCount / 4).flatMap { index in
      let word = words.integer(at: 4 * index, as: UInt32.self)
      return fields.map { code(word, $0) }
    }
  }

  /// Packs the codes of words along the inputs instead.
  ///
  /// - Parameters:
  ///   - words: `[inputs, outputs / 8]`.
  ///   - inputCount: The inputs, an even number.
  ///   - outputCount: The outputs.
  /// - Returns: `[outputs, inputs / 2]`, lowest bits first.
  static func rows(_ words: RawSpan, inputCount: Int, outputCount: Int) -> [UInt8] {
    precondition(words.byteCount * 2 == inputCount * outputCount, "\(words.byteCount) bytes of words")
    let (width, wordCount) = (inputCount / 2, outputCount / count)
    var packed = [UInt8](repeating: 0, count: outputCount * width)
    var span = packed.mutableSpan
    // Eight words of a row of inputs are adjacent in memory.
    parallelRows(of: &span, columnCount: width, rowsPerChunk: 8 * count) { outputs, part in
      let fields = fields.span
      for pair in 0..<width {
        for column in outputs.lowerBound / count..<outputs.upperBound / count {
          let first = 2 * pair * wordCount + column
          let low = words.integer(at: 4 * first, as: UInt32.self)
          let high = words.integer(at: 4 * (first + wordCount), as: UInt32.self)
          let start = count * column - outputs.lowerBound
          for output in fields.indices {
            part[(start + output) * width + pair] =
              code(low, fields[output]) | code(high, fields[output]) << UInt8(bits)
          }
        }
      }
    }
    return packed
  }
}
