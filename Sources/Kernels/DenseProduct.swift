import CKernels

/// Multiplies stored rows with one vector, without widening the rows in memory.
///
/// Each sum has the same bits as `dot` on the widened row, with every instruction set.
///
/// - Parameters:
///   - weights: `[y.count, x.count]`, row-major, at any address.
///   - format: The format of the weights.
///   - x: `[columns]`.
///   - y: `[rows]`.
///   - set: The instructions to use.
package func multiplyDenseRows(
  _ weights: RawSpan, of format: FloatFormat, x: Span<Float>, into y: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let (rowCount, columnCount) = (y.count, x.count)
  precondition(
    weights.byteCount == rowCount * columnCount * format.byteWidth,
    "\(weights.byteCount) bytes for \(rowCount) rows of \(columnCount)")
  unsafe writing(&y) { y in
    unsafe reading(weights) { weights in
      unsafe reading(x) { x in
        unsafe ck_multiply_dense_rows(
          set.rawValue, format.forC, weights, rowCount, columnCount, x, y)
      }
    }
  }
}

/// `multiplyDenseRows` as a plain loop in double precision, which defines it.
package func multiplyDenseRowsReference(
  _ weights: RawSpan, of format: FloatFormat, x: Span<Float>, into y: inout MutableSpan<Float>
) {
  var row = [Float](repeating: 0, count: x.count)
  for i in y.indices {
    let byteCount = x.count * format.byteWidth
    var span = row.mutableSpan
    widenReference(weights.extracting(i * byteCount..<(i + 1) * byteCount), from: format, into: &span)
    y[i] = Float(dotReference(row.span, x))
  }
}

extension FloatFormat {
  fileprivate var forC: Int32 {
    switch self {
    case .f32: Int32(CK_F32)
    case .f16: Int32(CK_F16)
    case .bf16: Int32(CK_BF16)
    }
  }
}
