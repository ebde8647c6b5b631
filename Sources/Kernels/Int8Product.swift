internal import CKernels

/// A vector that is rounded to int8 for products with packed rows: `x ≈ scale · value` in each group, scale
/// the largest size of the group by 127.
///
/// The relative error of a product with random operands is about 0.004.
package struct Int8Vector: Sendable {
  /// The bits of the codes that it can be multiplied with: 2, 4 or 8.
  package let bits: Int
  /// The columns per group.
  package let groupSize: Int
  /// The rounded values, in the order in which a kernel unpacks codes; see `CKernels/int8.inc`.
  let values: [UInt8]
  /// A scale per group; NaN if the group has a value that is not finite.
  let scales: [Float]
  /// The sum of each group before it was rounded, which biases are multiplied with.
  let sums: [Float]

  /// Whether there is a kernel for rows of such codes.
  package static func supports(bits: Int, groupSize: Int, columnCount: Int) -> Bool {
    // Four groups of 16 are a block of the kernels.
    if groupSize == 16 { return bits == 2 && columnCount % 64 == 0 }
    // The sum of a group must fit into 32 bits.
    return [2, 4, 8].contains(bits) && groupSize > 0 && groupSize % 32 == 0 && groupSize <= 1 << 16
  }

  /// Rounds a vector.
  ///
  /// - Parameters:
  ///   - x: The vector.
  ///   - sums: The sum of each group; see `poolGroups`.
  ///   - bits: The bits of the codes.
  ///   - groupSize: The columns per group.
  /// - Precondition: `supports(bits:groupSize:columnCount:)`, and groups are whole.
  package init(_ x: Span<Float>, sums: [Float], bits: Int, groupSize: Int) {
    precondition(
      Self.supports(bits: bits, groupSize: groupSize, columnCount: x.count),
      "\(x.count) columns of \(bits) bits, group size \(groupSize)")
    precondition(x.count == sums.count * groupSize, "\(x.count) values, \(sums.count) groups")
    var values = [UInt8](repeating: 0, count: x.count)
    var scales = [Float](repeating: 0, count: sums.count)
    var valueSpan = values.mutableSpan
    var scaleSpan = scales.mutableSpan
    unsafe reading(x) { x in
      unsafe writing(&valueSpan, &scaleSpan) { values, scales in
        unsafe ck_round_to_int8(Int32(bits), groupSize, sums.count, x, values, scales)
      }
    }
    self.bits = bits
    self.groupSize = groupSize
    self.values = values
    self.scales = scales
    self.sums = sums
  }
}

/// A kernel that multiplies packed rows with a vector of int8: an entry of the table in `CKernels/int8.c`.
package struct Int8Backend: Sendable, Equatable, CustomStringConvertible {
  let index: Int32
  /// Its name.
  package let name: String
  private let needs: UInt32

  package var description: String { name }

  private init(_ index: Int32) {
    self.index = index
    name = unsafe String(cString: ck_int8_backend_name(index))
    needs = ck_int8_backend_needs(index)
  }

  /// Every entry of the table, the slowest first.
  package static let all = (0..<ck_int8_backend_count()).map { Int8Backend($0) }
  /// The entries that this processor supports, the slowest first; the first one runs everywhere.
  package static let supported = all.filter { Processor.current.has($0.needs) }
  /// The fastest entry on this processor.
  package static let best = supported[supported.count - 1]
}

/// `multiplyPackedRows` with a vector that is rounded to int8.
///
/// Sums of whole numbers are exact; the sums over groups may differ in their last bits between kernels.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does, of the bits and group size of `x`.
///   - scales: `[rows, groups]`.
///   - biases: `[rows, groups]`.
///   - x: The vector, one value per column.
///   - y: `[rows]`.
///   - backend: The kernel.
package func multiplyPackedRows(
  codes: RawSpan, scales: Span<Float>, biases: Span<Float>, x: Int8Vector, into y: inout MutableSpan<Float>,
  on backend: Int8Backend = .best
) {
  let layout = KernelLayout(
    bits: x.bits, groupSize: x.groupSize, columnCount: x.values.count, rowCount: y.count)
  layout.require(codeBytes: codes.byteCount, scales: scales.count, biases: biases.count)
  unsafe reading(scales, biases) { scales, biases in
    let tables = unsafe ck_int8_tables(scales: scales, biases: biases, steps: nil)
    unsafe multiply(codes, tables, x, layout, into: &y, on: backend)
  }
}

/// `multiplyPackedRows` of groups of 16 codes of 2 bits whose tables are steps, 16 groups with the same factors: a
/// group's scale is `scaleFactors` times the lower half of its step, its bias `-biasFactors` times the upper half.
///
/// The result has the same bits as that of the tables as floats, with a fifth of their bytes to read.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does.
///   - steps: `[rows, groups]`.
///   - scaleFactors: `[rows, groups / 16]`.
///   - biasFactors: `[rows, groups / 16]`.
///   - x: The vector, one value per column; a multiple of 256 columns.
///   - y: `[rows]`.
///   - backend: The kernel.
package func multiplyPackedRows(
  codes: RawSpan, steps: Span<UInt8>, scaleFactors: Span<Float>, biasFactors: Span<Float>, x: Int8Vector,
  into y: inout MutableSpan<Float>, on backend: Int8Backend = .best
) {
  let layout = KernelLayout(
    bits: x.bits, groupSize: x.groupSize, columnCount: x.values.count, rowCount: y.count)
  layout.require(codeBytes: codes.byteCount, scales: steps.count, biases: 16 * scaleFactors.count)
  precondition(
    x.bits == 2 && x.groupSize == 16 && layout.groupsPerRow % 16 == 0
      && biasFactors.count == scaleFactors.count,
    "steps of \(x.bits) bits, group size \(x.groupSize), \(layout.groupsPerRow) groups per row")
  unsafe reading(scaleFactors, biasFactors) { scales, biases in
    unsafe reading(steps) { steps in
      let tables = unsafe ck_int8_tables(scales: scales, biases: biases, steps: steps)
      unsafe multiply(codes, tables, x, layout, into: &y, on: backend)
    }
  }
}

@unsafe
private func multiply(
  _ codes: RawSpan, _ tables: ck_int8_tables, _ x: Int8Vector, _ layout: KernelLayout,
  into y: inout MutableSpan<Float>, on backend: Int8Backend
) {
  unsafe writing(&y) { y in
    unsafe reading(x.scales.span, x.sums.span) { xScales, xSums in
      unsafe reading(codes) { codes in
        unsafe reading(x.values.span.bytes) { values in
          let vector = unsafe ck_int8_vector(
            values: values?.assumingMemoryBound(to: Int8.self), scales: xScales, sums: xSums)
          unsafe ck_multiply_int8_rows(backend.index, layout.forC, codes, tables, vector, y)
        }
      }
    }
  }
}

/// `multiplyPackedRows` with a vector of int8 as a plain loop in double precision, which defines it.
package func multiplyPackedRowsReference(
  codes: RawSpan, scales: Span<Float>, biases: Span<Float>, x: Span<Float>, bits: Int, groupSize: Int,
  into y: inout MutableSpan<Float>
) {
  let groupCount = x.count / groupSize
  for row in y.indices {
    var sum = 0.0
    for group in 0..<groupCount {
      let columns = group * groupSize..<(group + 1) * groupSize
      let largest = columns.reduce(Float(0)) { max($0, x[$1].magnitude) }
      let factor = largest > 0 ? 127 / largest : 0
      var (products, total) = (0, 0.0)
      for column in columns {
        let code = Int(code(at: row * x.count + column, bits: bits, in: codes))
        products += code * Int((x[column] * factor).rounded(.toNearestOrEven))
        total += Double(x[column])
      }
      let table = row * groupCount + group
      sum += Double(products) * Double(scales[table]) * Double(largest / 127) + Double(biases[table]) * total
    }
    y[row] = Float(sum)
  }
}
