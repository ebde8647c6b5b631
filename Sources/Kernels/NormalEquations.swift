import CKernels

/// The normal equations of the scales and biases of many rows, whose codes are known.
///
/// With Φ the codes of a row's columns by group, beside the groups' indicators, the matrix of a row is `Φᵀ ·
/// S · Φ`, `[2 * groups, 2 * groups]`, scales before biases. All sums are in double precision.
package struct NormalEquations: Sendable {
  /// The number of groups in a row.
  package let groupCount: Int
  /// The number of rows, a multiple of 16.
  package let rowCount: Int
  private let products: [Float]
  private let sums: [Float]
  private let pooled: [Double]

  /// Takes the parts of the matrices.
  ///
  /// - Parameters:
  ///   - products: `[groups i, groups j, rows]`: the codes of group `j`, times S, times the codes of group
  ///     `i`. Only elements with `j >= i` are read.
  ///   - sums: `[groups i, groups j, rows]`: the sums of S over the rows of group `j`, times the codes of
  ///     group `i`.
  ///   - pooled: `[groups, groups]`: the sums of S over pairs of groups, the same for all rows.
  ///   - groupCount: The number of groups in a row.
  ///   - rowCount: The number of rows, a multiple of 16.
  package init(products: [Float], sums: [Float], pooled: [Double], groupCount: Int, rowCount: Int) {
    precondition(rowCount % RowVectors.width == 0, "\(rowCount) rows")
    precondition(
      products.count == groupCount * groupCount * rowCount && sums.count == products.count
        && pooled.count == groupCount * groupCount,
      "\(products.count), \(sums.count) and \(pooled.count) elements for \(groupCount) groups")
    self.products = products
    self.sums = sums
    self.pooled = pooled
    self.groupCount = groupCount
    self.rowCount = rowCount
  }

  /// Takes the parts of matrices without biases, whose unknowns are zero.
  ///
  /// - Parameters:
  ///   - products: `[groups i, groups j, rows]`, as above.
  ///   - groupCount: The number of groups in a row.
  ///   - rowCount: The number of rows, a multiple of 16.
  package init(ofScales products: [Float], groupCount: Int, rowCount: Int) {
    var pooled = [Double](repeating: 0, count: groupCount * groupCount)
    for group in 0..<groupCount { pooled[group * (groupCount + 1)] = 1 }
    self.init(
      products: products, sums: [Float](repeating: 0, count: products.count), pooled: pooled,
      groupCount: groupCount, rowCount: rowCount)
  }

  private var elementCount: Int { 2 * groupCount * rowCount }

  /// Multiplies each row's matrix with a vector.
  ///
  /// - Parameters:
  ///   - x: `[2 * groups, rows]`.
  ///   - set: The instructions to use.
  /// - Returns: The products, in the same shape.
  package func times(_ x: [Double], on set: InstructionSet = .best) -> [Double] {
    precondition(x.count == elementCount, "\(x.count) numbers, not \(elementCount)")
    var result = [Double](repeating: 0, count: elementCount)
    var span = result.mutableSpan
    unsafe withEquations { equations in
      unsafe writing(&span) { y in
        unsafe reading(x.span) { x in unsafe ck_multiply_equations(set.rawValue, equations, x, y) }
      }
    }
    return result
  }

  /// Solves the equations of each row, with a larger diagonal.
  ///
  /// - Parameters:
  ///   - right: The right sides, `[2 * groups, rows]`.
  ///   - dampings: The shares by which the diagonal is raised, tried in this order until the row's matrix is
  ///     positive definite. An element of the diagonal that is not above zero becomes 1.
  ///   - set: The instructions to use.
  /// - Returns: The solutions, in the same shape; zeros for a row that no damping makes definite, or whose
  ///   solution is no float.
  package func solved(_ right: [Double], dampings: [Double], on set: InstructionSet = .best) -> [Double] {
    precondition(right.count == elementCount, "\(right.count) numbers, not \(elementCount)")
    var result = [Double](repeating: 0, count: elementCount)
    for start in stride(from: 0, to: rowCount, by: Self.lanes) {
      var missing = Set(0..<Self.lanes)
      for damping in dampings where !missing.isEmpty {
        let (solution, solved) = solution(right, rowsFrom: start, damping, set)
        for lane in missing where solved & (1 << lane) != 0 {
          missing.remove(lane)
          let indices = stride(from: start + lane, to: elementCount, by: rowCount)
          guard indices.allSatisfy({ abs(solution[$0]) < Double(Float.greatestFiniteMagnitude) }) else {
            continue
          }
          for index in indices { result[index] = solution[index] }
        }
      }
    }
    return result
  }

  /// The number of rows that are solved at once.
  private static let lanes = 8

  /// Returns a copy of the right sides with the solutions of 8 rows, and a bit for each of them that was
  /// solved.
  private func solution(
    _ right: [Double], rowsFrom start: Int, _ damping: Double, _ set: InstructionSet
  ) -> ([Double], UInt32) {
    var solution = right
    var span = solution.mutableSpan
    let solved = unsafe withEquations { equations in
      ScratchPool.shared.withDoubles(ck_equations_scratch(groupCount)) { scratch in
        unsafe writing(&span, &scratch) { x, scratch in
          unsafe ck_solve_equations(set.rawValue, equations, start, damping, x, scratch)
        }
      }
    }
    return (solution, solved)
  }

  @unsafe
  private func withEquations<R>(_ body: (ck_equations) -> R) -> R {
    unsafe reading(products.span, sums.span) { products, sums in
      unsafe reading(pooled.span) { pooled in
        unsafe body(
          ck_equations(
            group_count: groupCount, row_count: rowCount, products: products, sums: sums, pooled: pooled))
      }
    }
  }

  /// A row's matrix, which defines the others; the lower triangle alone is set.
  private func matrix(of row: Int) -> [Double] {
    let width = 2 * groupCount
    var matrix = [Double](repeating: 0, count: width * width)
    for i in 0..<groupCount {
      for j in 0..<groupCount {
        let index = (i * groupCount + j) * rowCount + row
        if j >= i { matrix[j * width + i] = Double(products[index]) }
        matrix[(groupCount + j) * width + i] = Double(sums[index])
        matrix[(groupCount + i) * width + groupCount + j] = pooled[i * groupCount + j]
      }
    }
    return matrix
  }

  /// `times` of one row as a plain loop, which defines it.
  package func timesReference(_ x: [Double], row: Int) -> [Double] {
    let (width, matrix) = (2 * groupCount, matrix(of: row))
    return (0..<width).map { i in
      (0..<width).reduce(0) { $0 + matrix[max(i, $1) * width + min(i, $1)] * x[$1 * rowCount + row] }
    }
  }

  /// `solved` of one row with one damping by plain loops, which define it; nil if the matrix is not definite.
  package func solvedReference(_ right: [Double], damping: Double, row: Int) -> [Double]? {
    let width = 2 * groupCount
    var matrix = matrix(of: row)
    for i in 0..<width {
      let diagonal = matrix[i * (width + 1)]
      matrix[i * (width + 1)] = diagonal > 0 ? diagonal * (1 + damping) : 1
    }
    var solution = (0..<width).map { right[$0 * rowCount + row] }
    var matrixSpan = matrix.mutableSpan
    var solutionSpan = solution.mutableSpan
    return solvePositiveDefinite(&matrixSpan, &solutionSpan) ? solution : nil
  }
}
