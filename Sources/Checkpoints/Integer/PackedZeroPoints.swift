internal import Kernels

/// Zero points packed along the outputs, a run of fields for each group, lowest bits first and without gaps.
///
/// GPTQ stores a run in a row, compressed-tensors in a column. `Formats/gptq.md` has the picture.
enum PackedZeroPoints {
  /// Unpacks the fields of GPTQ's `qzeros`.
  ///
  /// - Parameters:
  ///   - words: `[groupCount, outputCount * bits / 32]`.
  ///   - bits: The width of a field.
  ///   - groupCount: The groups of a row of weights.
  /// - Returns: `[outputCount, groupCount]`.
  static func fieldsOfRows(_ words: RawSpan, bits: Int, groupCount: Int) -> [UInt8] {
    let fields = unpacked(words, bits: bits)
    return transposed(fields, rowCount: groupCount, columnCount: fields.count / groupCount)
  }

  /// Packs fields as GPTQ's `qzeros`; the inverse of `fieldsOfRows`.
  static func rows(_ fields: [UInt8], bits: Int, groupCount: Int) -> [UInt8] {
    packed(transposed(fields, rowCount: fields.count / groupCount, columnCount: groupCount), bits: bits)
  }

  /// Unpacks the fields of compressed-tensors' `weight_zero_point`.
  ///
  /// - Parameters:
  ///   - words: `[ceil(outputCount * bits / 32), groupCount]`.
  ///   - bits: The width of a field.
  ///   - groupCount: The groups of a row of weights.
  ///   - outputCount: The rows of weights.
  /// - Returns: `[outputCount, groupCount]`.
  static func fieldsOfColumns(_ words: RawSpan, bits: Int, groupCount: Int, outputCount: Int) -> [UInt8] {
    let wordCount = words.byteCount / 4 / groupCount
    let runs = transposedWords(words, rowCount: wordCount, columnCount: groupCount)
    // A multiple of 32 fields, so that the end of a run does not cut a field.
    let paddedCount = (outputCount + 31) / 32 * 32
    var fields = [UInt8](repeating: 0, count: outputCount * groupCount)
    for group in 0..<groupCount {
      var run = Array(runs[4 * group * wordCount..<4 * (group + 1) * wordCount])
      run.appendZeros(upTo: paddedCount / 8 * bits)
      let values = TensorBytes(run).withSpan { unpacked($0, bits: bits) }
      for output in 0..<outputCount { fields[output * groupCount + group] = values[output] }
    }
    return fields
  }

  /// Packs fields as compressed-tensors' `weight_zero_point`; the inverse of `fieldsOfColumns`.
  static func columns(_ fields: [UInt8], bits: Int, groupCount: Int) -> [UInt8] {
    let outputCount = fields.count / groupCount
    let wordCount = (outputCount * bits + 31) / 32
    var runs: [UInt8] = []
    for group in 0..<groupCount {
      var run = (0..<outputCount).map { fields[$0 * groupCount + group] }
      run.appendZeros(upTo: (outputCount + 31) / 32 * 32)
      runs += packed(run, bits: bits).prefix(4 * wordCount)
    }
    return TensorBytes(runs).withSpan { transposedWords($0, rowCount: groupCount, columnCount: wordCount) }
  }

  /// Whether every field of whole rows is the same value.
  static func areAll(_ value: UInt8, in words: RawSpan, bits: Int) -> Bool {
    let pattern = packed([UInt8](repeating: value, count: 32), bits: bits)
    return TensorBytes(pattern).withSpan { pattern in
      (0..<words.byteCount / 4).allSatisfy { i in
        words.integer(at: 4 * i, as: UInt32.self) == pattern.integer(at: 4 * (i % bits), as: UInt32.self)
      }
    }
  }

  private static func unpacked(_ words: RawSpan, bits: Int) -> [UInt8] {
    var fields = [UInt8](repeating: 0, count: words.byteCount * 8 / bits)
    var span = fields.mutableSpan
    unpackCodes(words, bits: bits, into: &span)
    return fields
  }

  private static func packed(_ fields: [UInt8], bits: Int) -> [UInt8] {
    var words = [UInt8](repeating: 0, count: fields.count / 8 * bits)
    var span = words.mutableSpan
    packCodes(fields.span, bits: bits, into: &span)
    return words
  }
}
