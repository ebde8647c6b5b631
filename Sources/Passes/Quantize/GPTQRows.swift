import Kernels

/// Some rows during GPTQ's rounding, processed one group of columns at a time, with 16 rows per vector.
struct GPTQRows {
  private typealias Vector = SIMD16<Float>
  private let grid: QuantizationGrid
  private let order: [Int]
  private let rowCount: Int
  private let vectorCount: Int
  /// The remaining weights, `[rows, columns]`, with columns in the order of rounding.
  private var rest: [Float]
  /// Scales and biases of every group, `[groups, vectors]`.
  private var scaleVectors: [Vector]
  private var biasVectors: [Vector]
  /// The codes, one per byte, `[rows, columns]`.
  private(set) var codes: [UInt8]
  /// `[rows, groups]`.
  private(set) var scales: [Float]
  /// `[rows, groups]`.
  private(set) var biases: [Float]

  private var columnCount: Int { order.count }
  private var groupCount: Int { columnCount / grid.groupSize }

  /// Starts with the weights; weights of inputs that are always zero are set to zero.
  init(grid: QuantizationGrid, weights: [Float], order: [Int], importance: [Float]) {
    self.grid = grid
    self.order = order
    let columnCount = order.count
    rowCount = weights.count / columnCount
    vectorCount = (rowCount + Vector.scalarCount - 1) / Vector.scalarCount
    rest = [Float](repeating: 0, count: weights.count)
    for row in 0..<rowCount {
      for (position, column) in order.enumerated() where importance[column] != 0 {
        rest[row * columnCount + position] = weights[row * columnCount + column]
      }
    }
    codes = [UInt8](repeating: 0, count: weights.count)
    scales = [Float](repeating: 0, count: weights.count / grid.groupSize)
    biases = scales
    let vectors = columnCount / grid.groupSize * vectorCount
    scaleVectors = [Vector](repeating: Vector(repeating: 1), count: vectors)
    biasVectors = [Vector](repeating: Vector(repeating: 0), count: vectors)
  }

  /// Computes the tables of all groups from the original weights.
  mutating func fixTables(_ weights: [Float], _ importance: [Float]) {
    let tables = grid.clipped(weights, importance: importance, columns: columnCount)
    for group in 0..<groupCount {
      setTables(
        of: group, (0..<rowCount).map { tables.scales[$0 * groupCount + group] },
        (0..<rowCount).map { tables.biases[$0 * groupCount + group] })
    }
  }

  /// Computes the tables of a group from its remaining weights.
  mutating func findTables(_ block: Range<Int>, _ importance: [Float]) {
    var weights: [Float] = []
    for row in 0..<rowCount {
      let start = row * columnCount
      weights += rest[start + block.lowerBound..<start + block.upperBound]
    }
    let tables = grid.clipped(weights, importance: Array(importance[block]), columns: block.count)
    setTables(of: block.lowerBound / grid.groupSize, tables.scales, tables.biases)
  }

  private mutating func setTables(of group: Int, _ scales: [Float], _ biases: [Float]) {
    for row in 0..<rowCount {
      self.scales[row * groupCount + group] = scales[row]
      self.biases[row * groupCount + group] = biases[row]
      let (vector, lane) = (group * vectorCount + row / Vector.scalarCount, row % Vector.scalarCount)
      // If the tables' format rounds a scale to zero, the code does not matter; this avoids a division by
      // zero.
      scaleVectors[vector][lane] = scales[row] == 0 ? .leastNormalMagnitude : scales[row]
      biasVectors[vector][lane] = biases[row]
    }
  }

  /// Rounds some columns and subtracts their errors from all later columns.
  ///
  /// - Parameters:
  ///   - block: The columns, in the order of rounding.
  ///   - feedback: The factor of each column's error in later columns, `[columns, columns]`.
  mutating func round(_ block: Range<Int>, _ feedback: [Float]) {
    var values = columnVectors(block)
    var errors = values
    for j in 0..<block.count {
      roundColumn(j, of: block, values, &errors)
      spread(j, of: block, errors, feedback, to: &values)
    }
    let rest = block.upperBound..<columnCount
    guard !rest.isEmpty else { return }
    subtract(errors, block, feedback, from: rest)
  }

  /// Returns columns as vectors of rows, `[columns, vectors]`.
  private func columnVectors(_ block: Range<Int>) -> [Vector] {
    var vectors = [Vector](repeating: Vector(repeating: 0), count: block.count * vectorCount)
    for row in 0..<rowCount {
      let (vector, lane) = (row / Vector.scalarCount, row % Vector.scalarCount)
      for j in 0..<block.count {
        vectors[j * vectorCount + vector][lane] = rest[row * columnCount + block.lowerBound + j]
      }
    }
    return vectors
  }

  private mutating func roundColumn(
    _ j: Int, of block: Range<Int>, _ values: [Vector], _ errors: inout [Vector]
  ) {
    let column = order[block.lowerBound + j]
    let group = column / grid.groupSize
    // Adding and subtracting 2^23 rounds to nearest even.
    let (zero, top, shift) = (Vector(repeating: 0), Vector(repeating: grid.top), Vector(repeating: 0x1p23))
    for v in 0..<vectorCount {
      let (scale, bias) = (scaleVectors[group * vectorCount + v], biasVectors[group * vectorCount + v])
      let value = values[j * vectorCount + v]
      let clamped = pointwiseMin(pointwiseMax((value - bias) / scale, zero), top)
      let code = (clamped + shift) - shift
      errors[j * vectorCount + v] = value - (code * scale + bias)
      for lane in 0..<min(Vector.scalarCount, rowCount - v * Vector.scalarCount) {
        codes[(v * Vector.scalarCount + lane) * columnCount + column] = UInt8(code[lane])
      }
    }
  }

  private func spread(
    _ j: Int, of block: Range<Int>, _ errors: [Vector], _ feedback: [Float], to values: inout [Vector]
  ) {
    let row = (block.lowerBound + j) * columnCount + block.lowerBound
    var values = values.mutableSpan
    let errors = errors.span
    for k in j + 1..<max(block.count, j + 1) {
      let share = feedback[row + k]
      for v in 0..<vectorCount {
        values[k * vectorCount + v] -= errors[j * vectorCount + v] * share
      }
    }
  }

  private mutating func subtract(
    _ errors: [Vector], _ block: Range<Int>, _ feedback: [Float], from columns: Range<Int>
  ) {
    let width = vectorCount * Vector.scalarCount
    var flat = [Float](repeating: 0, count: block.count * width)
    for (i, vector) in errors.enumerated() {
      for lane in 0..<Vector.scalarCount { flat[i * Vector.scalarCount + lane] = vector[lane] }
    }
    let shares = MatrixView(feedback.span, rows: columnCount, columns: columnCount)[block, columns]
    let rounded = MatrixView(flat.span, rows: block.count, columns: width)[columns: 0..<rowCount]
    let layout = MatrixLayout(rows: rowCount, columns: columnCount)[0..<rowCount, columns]
    var target = MutableMatrixView(rest.mutableSpan, layout)
    multiply(rounded.transposed, shares, scale: -1, into: &target, adding: true)
  }
}
