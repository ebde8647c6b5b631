/// The transpose of a matrix of values, `[rowCount, columnCount]` to `[columnCount, rowCount]`.
package func transposed<T>(_ values: [T], rowCount: Int, columnCount: Int) -> [T] {
  precondition(values.count == rowCount * columnCount, "\(values.count) values")
  guard rowCount > 1, columnCount > 1 else { return values }
  var result = values
  for row in 0..<rowCount {
    for column in 0..<columnCount { result[column * rowCount + row] = values[row * columnCount + column] }
  }
  return result
}
