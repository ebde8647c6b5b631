import Checkpoints
import Kernels
import Models
import Synchronization

/// Sums over the elements of a weight that an adapter was folded into.
struct FoldSums: Sendable {
  /// The sum of squared differences between the result and the weight before.
  var change = 0.0
  /// The sum of squares of the weight before.
  var before = 0.0
  /// The sum of squared differences between the stored result and the result.
  var rounding = 0.0
  /// The sum of squares of the result.
  var after = 0.0
  /// The index of the first element that is not finite.
  var notFinite: Int?

  mutating func add(_ other: FoldSums) {
    change += other.change
    before += other.before
    rounding += other.rounding
    after += other.after
    notFinite = notFinite ?? other.notFinite
  }

  /// The Frobenius norm of the change divided by that of the weight before.
  var relativeChange: Double { (change / max(before, .leastNormalMagnitude)).squareRoot() }
}

extension AdapterFold {
  /// Returns the result, rounded once to a dtype, and its sums.
  ///
  /// Takes the memory of the result and of a few chunks of floats per thread.
  ///
  /// - Parameter format: The format to store.
  /// - Returns: The bytes, row-major, and the sums.
  func stored(as format: FloatFormat) -> (bytes: [UInt8], sums: FoldSums) {
    let width = weight.columnCount * format.byteWidth
    var bytes = [UInt8](repeating: 0, count: weight.rowCount * width)
    let chunkCount = (weight.rowCount + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let parts = Mutex([FoldSums](repeating: FoldSums(), count: chunkCount))
    var span = bytes.mutableSpan
    parallelRows(of: &span, columnCount: width, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      var values = [Float](repeating: 0, count: rows.count * weight.columnCount)
      var folded = values.mutableSpan
      fold(rows, into: &folded)
      narrow(values.span, to: format, into: &part)
      var sums = changes(values, rows)
      addRounding(of: values, stored: unsafe part.span.bytes, format, rows, to: &sums)
      let result = sums
      parts.withLock { $0[rows.lowerBound / Self.rowsPerChunk] = result }
    }
    var sums = FoldSums()
    for part in parts.withLock({ $0 }) { sums.add(part) }
    return (bytes, sums)
  }

  /// The sums of the change, computed without storing the result.
  var changes: FoldSums {
    let chunkCount = (weight.rowCount + Self.rowsPerChunk - 1) / Self.rowsPerChunk
    let parts = parallelMap(chunkCount) { chunk in
      let rows = chunk * Self.rowsPerChunk..<min((chunk + 1) * Self.rowsPerChunk, weight.rowCount)
      var values = [Float](repeating: 0, count: rows.count * weight.columnCount)
      var span = values.mutableSpan
      fold(rows, into: &span)
      return changes(values, rows)
    }
    var sums = FoldSums()
    for part in parts { sums.add(part) }
    return sums
  }

  private func changes(_ values: [Float], _ rows: Range<Int>) -> FoldSums {
    var sums = FoldSums()
    var before = [Float](repeating: 0, count: values.count)
    var span = before.mutableSpan
    weight.unpack(rows: rows, columns: 0..<weight.columnCount, into: &span)
    for i in values.indices {
      let (old, new) = (Double(before[i]), Double(values[i]))
      sums.change += (new - old) * (new - old)
      sums.before += old * old
      sums.after += new * new
    }
    return sums
  }

  private func addRounding(
    of values: [Float], stored bytes: RawSpan, _ format: FloatFormat, _ rows: Range<Int>,
    to sums: inout FoldSums
  ) {
    var stored = [Float](repeating: 0, count: values.count)
    var span = stored.mutableSpan
    widen(bytes, from: format, into: &span)
    for i in values.indices {
      let rounding = Double(stored[i]) - Double(values[i])
      sums.rounding += rounding * rounding
      if !stored[i].isFinite, sums.notFinite == nil {
        sums.notFinite = rows.lowerBound * weight.columnCount + i
      }
    }
  }
}
