import CKernels

/// The layout of columns of many rows: `[columns, rowCount]`, the rows in vectors of 16.
package enum RowVectors {
  /// The number of rows in a vector.
  package static let width = 16

  /// The least row count that holds `count` rows in whole vectors.
  package static func rowCount(holding count: Int) -> Int { (count + width - 1) / width * width }
}

/// Chooses the codes of a group's columns, one column after the other, each the best given all other codes.
///
/// The layer error is `(wq - w) · S · (wq - w)ᵀ`, its half gradient `g = (wq - w) · S`. As a function of one
/// weight alone, the error is least at `wq[j] - g[j] / S[j, j]`. The nearest code is taken, half to even, and
/// `g` is updated for the following columns. Columns whose `S[j, j]` is not above zero and groups whose scale
/// is zero keep their codes.
///
/// Source: cyclic coordinate descent of QuantEase, arXiv:2309.01885.
///
/// - Parameters:
///   - codes: `[columns, rowCount]`, whole numbers in `0...top`; at most 128 columns, the rows a multiple of
///     16.
///   - changes: Same shape; gets the change of each weight.
///   - gradient: Same shape; `(wq - w) · S` before the first column.
///   - moments: S, `[order, order]`, symmetric.
///   - columns: The group's columns in S.
///   - order: The number of columns of S.
///   - scales: `[rowCount]`.
///   - biases: `[rowCount]`.
///   - top: The largest code.
///   - set: The instructions to use.
/// - Returns: Whether any code changed.
package func descend(
  codes: inout MutableSpan<Float>, changes: inout MutableSpan<Float>, gradient: Span<Float>,
  moments: Span<Float>, columns: Range<Int>, order: Int, scales: Span<Float>, biases: Span<Float>, top: Float,
  on set: InstructionSet = .best
) -> Bool {
  let rowCount = scales.count
  requireDescent(
    counts: [codes.count, changes.count, gradient.count], moments.count, columns, order, rowCount,
    biases.count)
  let descent = ck_descent(
    column_count: columns.count, row_count: rowCount, moment_stride: order, top: top)
  let corner = moments.extracting((columns.lowerBound * (order + 1))...)
  return unsafe writing(&codes, &changes) { codes, changes in
    unsafe reading(gradient, corner) { gradient, moments in
      unsafe reading(scales, biases) { scales, biases in
        unsafe ck_descend(set.rawValue, descent, gradient, moments, scales, biases, codes, changes) != 0
      }
    }
  }
}

/// `descend` as a plain loop, which defines it.
package func descendReference(
  codes: inout MutableSpan<Float>, changes: inout MutableSpan<Float>, gradient: Span<Float>,
  moments: Span<Float>, columns: Range<Int>, order: Int, scales: Span<Float>, biases: Span<Float>, top: Float
) -> Bool {
  let rowCount = scales.count
  var hasChanged = false
  for row in 0..<rowCount {
    var rest = columns.indices.map { gradient[($0 - columns.lowerBound) * rowCount + row] }
    for (j, column) in columns.enumerated() {
      let (index, moment) = (j * rowCount + row, moments[column * order + column])
      changes[index] = 0
      guard moment > 0, scales[row] != 0 else { continue }
      let product = codes[index] * scales[row]
      let value = product + biases[row]
      let position = (value - rest[j] / moment - biases[row]) / scales[row]
      let code = min(max(position, 0), top).rounded(.toNearestOrEven)
      hasChanged = hasChanged || code != codes[index]
      codes[index] = code
      let newProduct = code * scales[row]
      changes[index] = newProduct + biases[row] - value
      for k in j + 1..<max(columns.count, j + 1) {
        let share = changes[index] * moments[column * order + columns.lowerBound + k]
        rest[k] += share
      }
    }
  }
  return hasChanged
}

private func requireDescent(
  counts: [Int], _ momentCount: Int, _ columns: Range<Int>, _ order: Int, _ rowCount: Int, _ biasCount: Int
) {
  precondition(
    rowCount % RowVectors.width == 0 && biasCount == rowCount, "\(rowCount) scales, \(biasCount) biases")
  precondition(
    columns.lowerBound >= 0 && columns.upperBound <= order && momentCount == order * order
      && !columns.isEmpty,
    "columns \(columns) of \(momentCount) moments, order \(order)")
  precondition(columns.count <= CK_DESCENT_COLUMNS, "\(columns.count) columns")
  precondition(
    counts.allSatisfy { $0 == columns.count * rowCount }, "\(counts) values for \(columns) columns")
}

/// Sums the products of two matrices, and the second matrix, over each group of columns, row by row.
///
/// - Parameters:
///   - x: `[groups * groupSize, rowCount]`, the rows a multiple of 16.
///   - y: Same shape as `x`.
///   - groupSize: Columns per group.
///   - rowCount: The number of rows.
///   - products: `[groups, rowCount]`; gets the sums of `x * y`.
///   - sums: Same shape; gets the sums of `y`.
///   - set: The instructions to use.
package func sumGroups(
  _ x: Span<Float>, _ y: Span<Float>, groupSize: Int, rowCount: Int, products: inout MutableSpan<Float>,
  sums: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let groupCount = x.count / (groupSize * rowCount)
  precondition(rowCount % RowVectors.width == 0, "\(rowCount) rows")
  precondition(
    x.count == groupCount * groupSize * rowCount && y.count == x.count,
    "\(x.count) and \(y.count) values, groups of \(groupSize), \(rowCount) rows")
  precondition(
    products.count == groupCount * rowCount && sums.count == products.count,
    "\(products.count) and \(sums.count) sums of \(groupCount) groups, \(rowCount) rows")
  unsafe writing(&products, &sums) { products, sums in
    unsafe reading(x, y) { x, y in
      unsafe ck_group_products(set.rawValue, x, y, groupCount, groupSize, rowCount, products, sums)
    }
  }
}

/// `sumGroups` as a plain loop, which defines it.
package func sumGroupsReference(
  _ x: Span<Float>, _ y: Span<Float>, groupSize: Int, rowCount: Int, products: inout MutableSpan<Float>,
  sums: inout MutableSpan<Float>
) {
  for i in products.indices { (products[i], sums[i]) = (0, 0) }
  for i in x.indices {
    let target = i / (groupSize * rowCount) * rowCount + i % rowCount
    let product = x[i] * y[i]
    products[target] += product
    sums[target] += y[i]
  }
}
