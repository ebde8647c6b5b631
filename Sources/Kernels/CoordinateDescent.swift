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
///   - moments: S, symmetric, row-major.
///   - columns: The group's columns in S.
///   - scales: `[rowCount]`.
///   - biases: `[rowCount]`.
///   - top: The largest code.
///   - set: The instructions to use.
/// - Returns: Whether any code changed.
package func descend(
  codes: inout MutableSpan<Float>, changes: inout MutableSpan<Float>, gradient: Span<Float>,
  moments: MatrixView<Float>, columns: Range<Int>, scales: Span<Float>, biases: Span<Float>, top: Float,
  on set: InstructionSet = .best
) -> Bool {
  let rowCount = scales.count
  precondition(columns.count <= Int(CK_DESCENT_COLUMNS), "\(columns.count) columns")
  requireDescent(
    counts: [codes.count, changes.count, gradient.count], columns, rowCount, biases.count)
  let corner = moments[columns, columns].fromFirst
  let descent = ck_descent(
    column_count: columns.count, row_count: rowCount, moment_stride: moments.layout.rowStride, top: top)
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
  moments: MatrixView<Float>, columns: Range<Int>, scales: Span<Float>, biases: Span<Float>, top: Float
) -> Bool {
  let rowCount = scales.count
  var hasChanged = false
  for row in 0..<rowCount {
    var rest = columns.indices.map { gradient[($0 - columns.lowerBound) * rowCount + row] }
    for (j, column) in columns.enumerated() {
      let (index, moment) = (j * rowCount + row, moments.row(column)[column])
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
        let share = changes[index] * moments.row(column)[columns.lowerBound + k]
        rest[k] += share
      }
    }
  }
  return hasChanged
}

private func requireDescent(counts: [Int], _ columns: Range<Int>, _ rowCount: Int, _ biasCount: Int) {
  precondition(
    rowCount % RowVectors.width == 0 && biasCount == rowCount, "\(rowCount) scales, \(biasCount) biases")
  precondition(!columns.isEmpty, "no columns")
  precondition(
    counts.allSatisfy { $0 == columns.count * rowCount }, "\(counts) values for \(columns) columns")
}

/// Rounds a block of columns, the last one first, and carries each column's error to those before it.
///
/// The weight of column `j`, less the sum of `shares[j, k]` times the error of every later column `k`, is
/// rounded to the grid, half to even. The error of a column is its rounded weight minus its weight.
///
/// - Parameters:
///   - values: `[columns, rowCount]`: the weights, less the shares of columns that are not in the block; gets
///     the codes. At most 128 columns, the rows a multiple of 16.
///   - errors: Same shape; gets the errors.
///   - weights: Same shape.
///   - shares: `[columns, columns]`, row-major; only elements above the diagonal are read.
///   - scales: Same shape as the weights; no zeros.
///   - biases: Same shape.
///   - rowCount: The number of rows.
///   - top: The largest code.
///   - set: The instructions to use.
package func roundColumns(
  values: inout MutableSpan<Float>, errors: inout MutableSpan<Float>, weights: Span<Float>,
  shares: MatrixView<Float>, scales: Span<Float>, biases: Span<Float>, rowCount: Int, top: Float,
  on set: InstructionSet = .best
) {
  let columns = 0..<shares.rowCount
  requireDescent(
    counts: [values.count, errors.count, weights.count, scales.count, biases.count], columns, rowCount,
    rowCount)
  let descent = ck_descent(
    column_count: columns.count, row_count: rowCount, moment_stride: shares.layout.rowStride, top: top)
  let corner = shares[columns: columns].fromFirst
  unsafe writing(&values, &errors) { values, errors in
    unsafe reading(weights, corner) { weights, shares in
      unsafe reading(scales, biases) { scales, biases in
        unsafe ck_round_columns(set.rawValue, descent, shares, weights, scales, biases, values, errors)
      }
    }
  }
}

/// Carries errors from the later columns of a block to the earlier ones, as `roundColumns` does, without
/// rounding.
///
/// - Parameters:
///   - values: As for `roundColumns`; gets the weights after the errors are carried.
///   - weights: Same shape.
///   - shares: As for `roundColumns`.
///   - rowCount: The number of rows.
///   - set: The instructions to use.
package func carryErrors(
  to values: inout MutableSpan<Float>, weights: Span<Float>, shares: MatrixView<Float>, rowCount: Int,
  on set: InstructionSet = .best
) {
  let columns = 0..<shares.rowCount
  requireDescent(counts: [values.count, weights.count], columns, rowCount, rowCount)
  let descent = ck_descent(
    column_count: columns.count, row_count: rowCount, moment_stride: shares.layout.rowStride, top: 0)
  let corner = shares[columns: columns].fromFirst
  ScratchPool.shared.withScratch(values.count) { errors in
    unsafe writing(&values, &errors) { values, errors in
      unsafe reading(weights, corner) { weights, shares in
        unsafe ck_round_columns(set.rawValue, descent, shares, weights, nil, nil, values, errors)
      }
    }
  }
}

/// `roundColumns` as a plain loop, which defines it.
package func roundColumnsReference(
  values: inout MutableSpan<Float>, errors: inout MutableSpan<Float>, weights: Span<Float>,
  shares: MatrixView<Float>, scales: Span<Float>, biases: Span<Float>, rowCount: Int, top: Float
) {
  let columnCount = shares.rowCount
  for row in 0..<rowCount {
    for j in (0..<columnCount).reversed() {
      let index = j * rowCount + row
      var value = values[index]
      for k in j + 1..<max(columnCount, j + 1) {
        let share = errors[k * rowCount + row] * shares.row(j)[k]
        value -= share
      }
      let position = (value - biases[index]) / scales[index]
      let code = min(max(position, 0), top).rounded(.toNearestOrEven)
      values[index] = code
      let product = code * scales[index]
      errors[index] = product + biases[index] - weights[index]
    }
  }
}

extension MatrixView<Float> {
  /// The elements from the first one on; the matrix must not be transposed.
  fileprivate var fromFirst: Span<Float> {
    @_lifetime(copy self) get {
      precondition(layout.columnStride == 1, "a transposed matrix")
      return elements.extracting(layout.offset...)
    }
  }
}

/// Computes the scales times the codes, plus the biases, minus the weights.
///
/// - Parameters:
///   - weights: `[groups * groupSize, rowCount]`, the rows a multiple of 16.
///   - codes: Same shape.
///   - scales: `[groups, rowCount]`.
///   - biases: Same shape as the scales.
///   - groupSize: Columns per group.
///   - rowCount: The number of rows.
///   - differences: Same shape as the codes; gets the differences.
///   - set: The instructions to use.
package func subtractWeights(
  _ weights: Span<Float>, fromCodes codes: Span<Float>, scales: Span<Float>, biases: Span<Float>,
  groupSize: Int,
  rowCount: Int, into differences: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let groupCount = scales.count / max(rowCount, 1)
  precondition(rowCount % RowVectors.width == 0, "\(rowCount) rows")
  precondition(
    [scales.count, biases.count].allSatisfy { $0 == groupCount * rowCount }
      && [codes.count, weights.count, differences.count].allSatisfy {
        $0 == groupCount * groupSize * rowCount
      },
    "\(codes.count) codes and \(weights.count) weights, \(groupCount) groups, \(rowCount) rows")
  unsafe writing(&differences) { differences in
    unsafe reading(codes, weights) { codes, weights in
      unsafe reading(scales, biases) { scales, biases in
        unsafe ck_table_differences(
          set.rawValue, codes, weights, scales, biases, groupCount, groupSize, rowCount, differences)
      }
    }
  }
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
