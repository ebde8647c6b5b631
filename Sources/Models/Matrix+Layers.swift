import Checkpoints
import Foundation
import Kernels

extension Matrix {
  /// Multiplies each element.
  mutating func multiply(by factor: Float) {
    let columnCount = columnCount
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 64) { _, part in
      for i in part.indices { part[i] *= factor }
    }
  }

  /// Replaces each element `x` by `cap · tanh(x / cap)`.
  mutating func bound(by cap: Float) {
    let columnCount = columnCount
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 8) { _, part in
      for i in part.indices { part[i] = cap * tanh(part[i] / cap) }
    }
  }

  /// Multiplies a gradient by the derivative of `bound(by:)`.
  ///
  /// - Parameters:
  ///   - bounded: The result of `bound(by:)`.
  ///   - cap: The bound.
  mutating func multiplyByBoundDerivative(_ bounded: Matrix, cap: Float) {
    for i in values.indices {
      let share = bounded.values[i] / cap
      values[i] *= 1 - share * share
    }
  }

  /// Adds a matrix with as many rows to some columns.
  mutating func add(_ other: Matrix, atColumn start: Int) {
    let (columnCount, width) = (columnCount, other.columnCount)
    precondition(start + width <= columnCount, "columns \(start)..<\(start + width) of \(columnCount)")
    var target = values.mutableSpan
    parallelRows(of: &target, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var columns = part.slice(i * columnCount + start..<i * columnCount + start + width)
        addScaled(other.values.span.extracting(other.row(row)), scale: 1, to: &columns)
      }
    }
  }

  /// Puts another matrix to the right of this one.
  func beside(_ other: Matrix) -> Matrix {
    let added = other.columnCount
    var result = Matrix.unspecified(rows: rowCount, columns: columnCount + added)
    let (columnCount, width) = (columnCount, columnCount + added)
    var target = result.values.mutableSpan
    parallelRows(of: &target, columnCount: width, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        for j in 0..<columnCount { part[i * width + j] = values[row * columnCount + j] }
        let from = row * added
        for j in 0..<added { part[i * width + columnCount + j] = other.values[from + j] }
      }
    }
    return result
  }

  /// Puts ranges of columns side by side.
  func selectingColumns(_ ranges: [Range<Int>]) -> Matrix {
    let width = ranges.reduce(0) { $0 + $1.count }
    var result = Matrix.unspecified(rows: rowCount, columns: width)
    var target = result.values.mutableSpan
    parallelRows(of: &target, columnCount: width, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let source = values.span.extracting(self.row(row))
        var column = i * width
        for range in ranges {
          for j in range {
            part[column] = source[j]
            column += 1
          }
        }
      }
    }
    return result
  }

  /// Computes the gradient of the matrix that `selectingColumns` got from that of its result.
  ///
  /// The gradients of a column that was selected more than once are added.
  func returningColumns(_ ranges: [Range<Int>]) -> Matrix {
    let width = ranges.reduce(0) { max($0, $1.upperBound) }
    var result = Matrix(rows: rowCount, columns: width)
    var target = result.values.mutableSpan
    parallelRows(of: &target, columnCount: width, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let source = values.span.extracting(self.row(row))
        var column = 0
        for range in ranges {
          for j in range {
            part[i * width + j] += source[column]
            column += 1
          }
        }
      }
    }
    return result
  }

  /// Puts queries, keys and values that stand together for each head side by side: all queries, then all
  /// keys, then all values; or back.
  ///
  /// - Parameters:
  ///   - attention: The heads; as many keys as queries.
  ///   - inverse: Puts those of each head together again.
  /// - Returns: The same columns in the other order.
  func separatingHeads(_ attention: AttentionDescription, inverse: Bool = false) -> Matrix {
    var result = Matrix.unspecified(rows: rowCount, columns: columnCount)
    let (columnCount, headSize, headCount) = (columnCount, attention.headSize, attention.headCount)
    var target = result.values.mutableSpan
    parallelRows(of: &target, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let source = values.span.extracting(self.row(row))
        for head in 0..<headCount {
          for kind in 0..<3 {
            let together = (head * 3 + kind) * headSize
            let apart = (kind * headCount + head) * headSize
            let (from, to) = inverse ? (apart, together) : (together, apart)
            for j in 0..<headSize { part[i * columnCount + to + j] = source[from + j] }
          }
        }
      }
    }
    return result
  }
}
