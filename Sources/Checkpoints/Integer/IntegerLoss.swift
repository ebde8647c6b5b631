internal import Kernels

/// The changes made by writing a module in a format with integer zero points.
struct IntegerLoss {
  let module: String
  let largestError: Double
  let meanError: Double

  /// Compares the weights of a module before and after, code by code.
  ///
  /// - Parameters:
  ///   - module: The name.
  ///   - bits: The width of a code.
  ///   - codes: Whole rows, dense.
  ///   - scales: The scales before, `[out, groups]`.
  ///   - biases: The biases before, `[out, groups]`.
  ///   - tables: The tables after.
  init(
    of module: String, bits: Int, codes: RawSpan, scales: [Float], biases: [Float], tables: IntegerTables
  ) {
    var unpacked = [UInt8](repeating: 0, count: codes.byteCount * 8 / bits)
    var span = unpacked.mutableSpan
    unpackCodes(codes, bits: bits, into: &span)
    let groupSize = unpacked.count / scales.count
    var (largest, sum) = (0.0, 0.0)
    for i in unpacked.indices {
      let (group, code) = (i / groupSize, Int(unpacked[i]))
      let before = Double(scales[group] * Float(code) + biases[group])
      let after = IntegerGroup(scale: tables.scales[group], zeroPoint: Int(tables.zeroPoints[group]))
      let error = abs(before - Double(after.level(code)))
      largest = max(largest, error)
      sum += error
    }
    self.module = module
    largestError = largest
    meanError = sum / Double(unpacked.count)
  }

  /// The loss as it appears in the report.
  var json: JSONValue {
    .object([
      JSONValue.Member("module", .string(module)),
      JSONValue.Member("largest_error", .double(largestError)),
      JSONValue.Member("mean_error", .double(meanError)),
    ])
  }
}
