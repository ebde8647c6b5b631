internal import COpenBLAS
internal import Synchronization

/// The routines of LAPACK that this module calls, with OpenBLAS below them.
///
/// Each runs on the calling thread alone, because OpenBLAS adds in another order on two threads than on one. They run
/// one after the other, because not every build of OpenBLAS allows calls from several threads at once.
enum LAPACK {
  /// The Cholesky factor of the lower triangle of a row-major matrix, in its place; what lies above it is left alone.
  ///
  /// - Parameters:
  ///   - matrix: `[order, order]`, finite.
  ///   - order: At least 1.
  /// - Returns: Whether the matrix is positive definite in double precision; otherwise its elements are of no use.
  static func factorLower(_ matrix: inout [Double], order: Int) -> Bool {
    requireSquare(matrix, order)
    let info = call { unsafe lapack_factor_lower(Int32(order), &matrix) }
    // OpenBLAS takes a NaN for a pivot. Whatever overflows in a row reaches the row's pivot.
    return info == 0 && (0..<order).allSatisfy { matrix[$0 * (order + 1)].isFinite }
  }

  /// The inverse of the lower triangle of a row-major matrix, in its place; what lies above it is left alone.
  ///
  /// - Parameters:
  ///   - matrix: `[order, order]`, no zero on its diagonal.
  ///   - order: At least 1.
  static func invertLower(_ matrix: inout [Double], order: Int) {
    requireSquare(matrix, order)
    let info = call { unsafe lapack_invert_lower(Int32(order), &matrix) }
    precondition(info == 0, "zero at \(info) of the diagonal")
  }

  /// A symmetric matrix as `Q · T · Qᵀ`, with T tridiagonal and Q a product of reflections.
  struct Tridiagonal: Sendable {
    private let order: Int
    private var diagonal: [Double]
    /// Element `i` stands between `i` and `i + 1`; the last one is not used.
    private var offDiagonal: [Double]
    /// As LAPACK's `dsytrd` leaves them.
    private var reflections: [Double]
    private var factors: [Double]

    /// Reduces a matrix.
    ///
    /// - Parameters:
    ///   - matrix: `[order, order]`, symmetric, finite, its elements far from overflow.
    ///   - order: At least 1.
    init(_ matrix: [Double], order: Int) {
      requireSquare(matrix, order)
      self.order = order
      diagonal = [Double](repeating: 0, count: order)
      offDiagonal = diagonal
      factors = diagonal
      reflections = matrix
      var work = workspace(order)
      let info = call {
        unsafe lapack_tridiagonalize(
          Int32(order), &reflections, &diagonal, &offDiagonal, &factors, &work, Int32(work.count))
      }
      precondition(info == 0, "argument \(-info) of dsytrd")
    }

    /// All eigenvalues, largest first; nil when they are not found in 30 steps for each.
    var eigenvalues: [Double]? {
      var (values, rest) = (diagonal, offDiagonal)
      guard call({ unsafe lapack_tridiagonal_values(Int32(order), &values, &rest) }) == 0 else { return nil }
      return values.reversed()
    }

    /// The eigenvectors of the matrix for the largest eigenvalues, largest first, a row each, `[count, order]`.
    ///
    /// - Parameter count: 1 to the order.
    /// - Returns: Orthonormal rows; nil when LAPACK does not find them.
    func eigenvectors(_ count: Int) -> [Double]? {
      precondition((1...order).contains(count), "\(count) vectors, order \(order)")
      var (diagonal, offDiagonal) = (diagonal, offDiagonal)
      var values = [Double](repeating: 0, count: order)
      var vectors = [Double](repeating: 0, count: count * order)
      var support = [Int32](repeating: 0, count: 2 * count)
      var (work, integers) = (workspace(order), [Int32](repeating: 0, count: 10 * order))
      let info = call {
        unsafe lapack_tridiagonal_vectors(
          Int32(order), &diagonal, &offDiagonal, Int32(count), &values, &vectors, &support, &work, &integers)
      }
      guard info == 0 else { return nil }
      let outcome = call {
        unsafe lapack_turn_back(
          Int32(order), reflections, factors, Int32(count), &vectors, &work, Int32(work.count))
      }
      precondition(outcome == 0, "argument \(-outcome) of dormtr")
      return (0..<count).reversed().flatMap { vectors[$0 * order..<($0 + 1) * order] }
    }
  }

  /// Whether OpenBLAS factors a matrix right: some older builds compute wrong results on newer processors.
  private static let isSound: Bool = {
    let order = 160
    let matrix = (0..<order * order).map { index in
      let (row, column) = (index / order, index % order)
      return 1 / Double(1 + abs(row - column)) + (row == column ? 1 : 0)
    }
    var factor = matrix
    guard unsafe lapack_factor_lower(Int32(order), &factor) == 0 else { return false }
    return stride(from: 0, to: order, by: 3).allSatisfy { row in
      (0...row).allSatisfy { column in
        let sum = (0...column).reduce(0.0) { $0 + factor[row * order + $1] * factor[column * order + $1] }
        return abs(sum - matrix[row * order + column]) < 1e-12
      }
    }
  }()

  private static let lock = Mutex(())

  private static func call(_ routine: () -> Int32) -> Int32 {
    lock.withLock { _ in
      openblas_set_num_threads(1)
      precondition(
        isSound, "OpenBLAS computes wrong results on this processor; OPENBLAS_CORETYPE=Haswell avoids it")
      return routine()
    }
  }

  /// A workspace for blocks of 64 columns, the widest that LAPACK takes.
  private static func workspace(_ order: Int) -> [Double] {
    [Double](repeating: 0, count: 64 * (order + 65))
  }

  /// LAPACK counts in 32 bits; a matrix of an order beyond the bound has 2 PiB.
  private static func requireSquare(_ matrix: [Double], _ order: Int) {
    precondition(
      matrix.count == order * order && (1..<1 << 24).contains(order),
      "\(matrix.count) elements, order \(order)")
  }
}
