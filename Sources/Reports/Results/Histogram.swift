/// Counts of values in intervals of the same width.
package struct Histogram: Sendable, Equatable {
  /// The range of the values; those outside count in the first or last interval.
  package let range: ClosedRange<Double>
  /// The number of values in each interval.
  package private(set) var counts: [Int]

  /// The number of all values.
  package var total: Int { counts.reduce(0, +) }

  /// Begins without values.
  ///
  /// - Parameters:
  ///   - range: The range of the values, not empty.
  ///   - count: The number of intervals, at least 1.
  package init(over range: ClosedRange<Double>, count: Int) {
    precondition(range.upperBound > range.lowerBound && count > 0, "\(range) in \(count) intervals")
    self.range = range
    counts = [Int](repeating: 0, count: count)
  }

  /// The width of an interval.
  package var width: Double { (range.upperBound - range.lowerBound) / Double(counts.count) }

  /// Returns the middle of an interval.
  package func middle(_ index: Int) -> Double { range.lowerBound + (Double(index) + 0.5) * width }

  /// Adds a value; one that is not a number is left out.
  package mutating func add(_ value: Double) {
    guard !value.isNaN else { return }
    let position = (value - range.lowerBound) / width
    counts[Int(min(max(position, 0), Double(counts.count - 1)))] += 1
  }

  /// Adds the counts of a histogram with the same intervals.
  package mutating func merge(_ other: Histogram) {
    precondition(range == other.range && counts.count == other.counts.count, "other intervals")
    for i in counts.indices { counts[i] += other.counts[i] }
  }
}
