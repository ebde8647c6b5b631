import Checkpoints
import Kernels
import Models

/// A weight with an adapter folded in, computed some rows at a time.
///
/// Source: LoRA, arXiv:2106.09685; DoRA, arXiv:2402.09353, equation 5, with the norms of the sum.
struct AdapterFold: Sendable {
  /// The number of rows per chunk; fixed, so that the result does not depend on the number of threads.
  static let rowsPerChunk = 64

  let weight: Weight
  /// `[rows, rank]`.
  private let left: Matrix
  /// `[rank, columns]`.
  private let right: Matrix
  private let scale: Float
  private var lengths = Lengths.unchanged

  /// The rescaling of the sum by DoRA.
  private enum Lengths {
    case unchanged
    /// Rescales each row to a length.
    case ofRows([Float])
    /// Multiplies each column by a factor.
    case factors([Float])
  }

  /// Reads the adapter of a module.
  ///
  /// - Throws: `FormatError` when its bytes cannot be read.
  init(_ module: PeftModule, of matched: MatchedAdapter, onto weight: Weight) throws {
    self.weight = weight
    let pool = try matched.pool(module)
    scale = Float(module.scaling * pool.factor / Double(pool.columns))
    let (inputs, outputs) = (module.loraA.shape[1], module.loraB.shape[0])
    let a = Matrix(rows: module.rank, columns: inputs, values: try matched.values(module.loraA))
    let b = Matrix(rows: outputs, columns: module.rank, values: try matched.values(module.loraB))
    let isTransposed = matched.isTransposed(module)
    (left, right) = isTransposed ? (a.transposed, b.transposed) : (b, a.repeatingColumns(pool.columns))
    guard let magnitude = module.magnitude else { return }
    let values = try matched.values(magnitude)
    lengths = isTransposed ? .factors(factors(values)) : .ofRows(values)
  }

  /// Computes some rows of the result.
  func fold(_ rows: Range<Int>, into values: inout MutableSpan<Float>) {
    add(rows, into: &values)
    let columns = weight.columnCount
    for (i, row) in rows.enumerated() {
      let range = i * columns..<(i + 1) * columns
      switch lengths {
      case .unchanged: return
      case .ofRows(let lengths):
        let norm = Double(sumOfSquares(values.span.extracting(range))).squareRoot()
        let factor = Float(Double(lengths[row]) / norm)
        for j in range { values[j] *= factor }
      case .factors(let factors):
        for j in 0..<columns { values[range.lowerBound + j] *= factors[j] }
      }
    }
  }

  /// Computes the sum of weight and update, before its lengths change.
  private func add(_ rows: Range<Int>, into values: inout MutableSpan<Float>) {
    weight.unpack(rows: rows, columns: 0..<weight.columnCount, into: &values)
    var sum = MutableMatrixView(&values, rows: rows.count, columns: weight.columnCount)
    multiply(left.view[rows: rows], right.view, scale: scale, into: &sum, adding: true)
  }

  /// Returns the factors that give the columns of the sum their lengths.
  private func factors(_ lengths: [Float]) -> [Float] {
    let columns = weight.columnCount
    // Enough rows per sum that the sums of all chunks are small compared with the weight.
    let rowsPerSum = 1024
    let sums = parallelMap((weight.rowCount + rowsPerSum - 1) / rowsPerSum) { chunk in
      var sum = [Double](repeating: 0, count: columns)
      let end = min((chunk + 1) * rowsPerSum, weight.rowCount)
      for start in stride(from: chunk * rowsPerSum, to: end, by: Self.rowsPerChunk) {
        let rows = start..<min(start + Self.rowsPerChunk, end)
        var values = [Float](repeating: 0, count: rows.count * columns)
        var span = values.mutableSpan
        add(rows, into: &span)
        for i in values.indices { sum[i % columns] += Double(values[i]) * Double(values[i]) }
      }
      return sum
    }
    var total = [Double](repeating: 0, count: columns)
    for sum in sums { for j in 0..<columns { total[j] += sum[j] } }
    return zip(lengths, total).map { Float(Double($0) / $1.squareRoot()) }
  }
}

extension Matrix {
  fileprivate var transposed: Matrix {
    var result = Matrix(rows: columnCount, columns: rowCount)
    for i in 0..<rowCount {
      for j in 0..<columnCount { result.values[j * rowCount + i] = values[i * columnCount + j] }
    }
    return result
  }

  /// Repeats every column `count` times.
  fileprivate func repeatingColumns(_ count: Int) -> Matrix {
    guard count > 1 else { return self }
    var result = Matrix(rows: rowCount, columns: columnCount * count)
    for i in result.values.indices { result.values[i] = values[i / count] }
    return result
  }
}
