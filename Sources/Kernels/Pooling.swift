import CKernels

/// Sums each group of a row.
///
/// - Parameters:
///   - row: `[groups, groupSize]`.
///   - groupSize: A multiple of 8.
///   - sums: `[groups]`.
///   - set: The instructions to use.
package func poolGroups(
  _ row: Span<Float>, groupSize: Int, into sums: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let groupCount = sums.count
  requireGroups(groupCount, of: groupSize, row.count)
  unsafe writing(&sums) { sums in
    unsafe reading(row) { row in unsafe ck_pool_groups(set.rawValue, row, groupCount, groupSize, sums) }
  }
}

/// Adds `scale` times the value of a group to each of its columns: the backward step of `poolGroups`.
///
/// - Parameters:
///   - pooled: `[groups]`.
///   - groupSize: A multiple of 8.
///   - scale: Factor of the values.
///   - row: `[groups, groupSize]`.
///   - set: The instructions to use.
package func spreadGroups(
  _ pooled: Span<Float>, groupSize: Int, scale: Float = 1, addTo row: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let groupCount = pooled.count
  requireGroups(groupCount, of: groupSize, row.count)
  unsafe writing(&row) { row in
    unsafe reading(pooled) { pooled in
      unsafe ck_spread_groups(set.rawValue, pooled, groupCount, groupSize, scale, row)
    }
  }
}

/// `poolGroups` as a plain loop in double precision, which defines it.
package func poolGroupsReference(_ row: Span<Float>, groupSize: Int, into sums: inout MutableSpan<Float>) {
  requireGroups(sums.count, of: groupSize, row.count)
  for group in sums.indices {
    var sum = 0.0
    for j in group * groupSize..<(group + 1) * groupSize { sum += Double(row[j]) }
    sums[group] = Float(sum)
  }
}

/// `spreadGroups` as a plain loop, which defines it.
package func spreadGroupsReference(
  _ pooled: Span<Float>, groupSize: Int, scale: Float, addTo row: inout MutableSpan<Float>
) {
  requireGroups(pooled.count, of: groupSize, row.count)
  for i in row.indices {
    let addend = scale * pooled[i / groupSize]
    row[i] += addend
  }
}

private func requireGroups(_ groupCount: Int, of groupSize: Int, _ columnCount: Int) {
  precondition(groupSize > 0 && groupSize % 8 == 0, "group size \(groupSize)")
  precondition(
    groupCount * groupSize == columnCount, "\(groupCount) groups of \(groupSize) in \(columnCount) columns")
}
