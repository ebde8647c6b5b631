/// Short measurements of the kernels, on as many threads as may be used.
package enum KernelSpeed {
  private static let duration = Duration.milliseconds(600)

  /// Measures products of matrices, each thread with its own.
  ///
  /// - Parameter backend: The kernel; the processor supports it.
  /// - Returns: 10⁹ floating-point operations per second.
  package static func product(_ backend: ProductBackend) -> Double {
    let (m, n, k) = (256, 256, 320)
    let a = Matrix(rows: m, columns: k, values: [Float](repeating: 0.5, count: m * k))
    let b = Matrix(rows: k, columns: n, values: [Float](repeating: 0.25, count: k * n))
    return perSecond {
      var c = Matrix(rows: m, columns: n)
      var view = c.mutableView
      let count = 10
      for _ in 0..<count { multiply(a.view, b.view, into: &view, on: backend) }
      return Double(2 * count * m * n * k)
    } / 1e9
  }

  /// Measures products of a vector of int8 with rows of 2 bits in groups of 64, which fit into the second-level
  /// cache.
  ///
  /// - Returns: 10⁹ weights per second.
  package static func int8Rows() -> Double {
    let (rowCount, columnCount, groupSize) = (512, 1_024, 64)
    let groupCount = columnCount / groupSize
    let codes = [UInt8](repeating: 0b1101_0010, count: rowCount * columnCount / 4)
    let tables = [Float](repeating: 0.5, count: rowCount * groupCount)
    let x = [Float](repeating: 0.75, count: columnCount)
    let vector = Int8Vector(
      x.span, sums: [Float](repeating: 48, count: groupCount), bits: 2, groupSize: groupSize)
    return perSecond {
      var y = [Float](repeating: 0, count: rowCount)
      var span = y.mutableSpan
      let count = 10
      for _ in 0..<count {
        multiplyPackedRows(
          codes: unsafe codes.span.bytes, scales: tables.span, biases: tables.span, x: vector, into: &span)
      }
      return Double(count * rowCount * columnCount)
    } / 1e9
  }

  /// Repeats work on all threads for a while.
  ///
  /// - Parameter work: Returns how much it did.
  /// - Returns: How much all threads did per second.
  private static func perSecond(_ work: @Sendable () -> Double) -> Double {
    let begin = ContinuousClock.now
    let amounts = parallelMap(ThreadLimit.current) { _ in
      var amount = 0.0
      repeat { amount += work() } while ContinuousClock.now - begin < duration
      return amount
    }
    let elapsed = ContinuousClock.now - begin
    return amounts.reduce(0, +) / (elapsed / .seconds(1))
  }
}
