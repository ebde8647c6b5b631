import Kernels

extension MomentMatrix {
  /// Factors the moments after adding λ to their diagonal: `Uᵀ · U = H + λI`, U upper triangular.
  ///
  /// Inputs that are always zero get a 1 on the diagonal, which keeps the matrix positive definite.
  ///
  /// - Parameters:
  ///   - damping: λ as a share of the mean diagonal, above 0; doubled until the factorization succeeds.
  ///   - columns: The columns of H by their positions in U; nil keeps their order.
  ///   - use: Gets U, whose memory it can take over.
  /// - Returns: The result of `use`, and the share that was added.
  /// - Throws: `FactorizationError.notFinite` when the diagonal is not finite; `.notDefinite`.
  func factored<R>(
    damping: Double, columns: [Int]? = nil, _ use: (consuming UpperBlocks<Double>) -> R
  ) throws(FactorizationError) -> (factor: R, added: Double) {
    let columns = columns ?? Array(0..<order)
    let diagonal = diagonal.map { $0 == 0 ? 1 : Double($0) }
    guard diagonal.allSatisfy(\.isFinite) else { throw .notFinite }
    let mean = diagonal.reduce(0, +) / Double(order)
    let steps = DampedCholesky(first: damping, unit: mean, growth: 2)
    return try steps.factor(order: order, largest: diagonal.max() ?? 0) { added in
      var matrix = UpperBlocks<Double>(order: order) { row, first, elements in
        let source = view.row(columns[row])
        for k in elements.indices { elements[k] = Double(source[columns[first + k]]) }
        elements[row - first] = diagonal[columns[row]] + added
      }
      return matrix.factor() ? use(matrix) : nil
    }
  }
}
