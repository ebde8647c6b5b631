import CKernels

/// The checked layout of quantized rows, which kernels over codes, scales and biases rely on.
struct KernelLayout {
  let bits: Int
  let groupSize: Int
  let columnCount: Int
  let rowCount: Int

  /// Checks the counts that all kernels share.
  init(bits: Int, groupSize: Int, columnCount: Int, rowCount: Int) {
    precondition([2, 3, 4, 5, 6, 8].contains(bits), "\(bits) bits")
    precondition(groupSize > 0 && groupSize % 8 == 0, "group size \(groupSize)")
    precondition(
      columnCount > 0 && columnCount % groupSize == 0, "\(columnCount) columns, group size \(groupSize)")
    self.bits = bits
    self.groupSize = groupSize
    self.columnCount = columnCount
    self.rowCount = rowCount
  }

  var groupsPerRow: Int { columnCount / groupSize }
  var groupCount: Int { rowCount * groupsPerRow }

  /// Checks the sizes of codes and of the two tables.
  func require(codeBytes: Int, scales: Int, biases: Int) {
    precondition(
      codeBytes == rowCount * columnCount / 8 * bits,
      "\(codeBytes) bytes of codes for \(rowCount) rows of \(columnCount) columns with \(bits) bits")
    require(tables: scales, biases)
  }

  /// Checks the sizes of the two tables.
  func require(tables scales: Int, _ biases: Int) {
    precondition(
      scales == groupCount && biases == groupCount,
      "\(scales) scales, \(biases) biases for \(groupCount) groups")
  }

  var forC: ck_layout {
    ck_layout(
      bits: Int32(bits), group_size: groupSize, groups_per_row: groupsPerRow, row_count: rowCount)
  }
}
