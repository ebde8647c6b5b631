package import Checkpoints
import Kernels

/// The statistics of a tensor's values.
package struct TensorStatistics: Sendable, Equatable {
  /// The number of values.
  package private(set) var count = 0
  /// The number of NaNs.
  package private(set) var nanCount = 0
  /// The number of infinities.
  package private(set) var infiniteCount = 0
  /// The number of zeros of either sign.
  package private(set) var zeroCount = 0
  /// The smallest finite value; infinity when there is none.
  package private(set) var minimum = Double.infinity
  /// The largest finite value; minus infinity when there is none.
  package private(set) var maximum = -Double.infinity
  /// The mean of the finite values; 0 when there is none.
  package private(set) var mean = 0.0
  private var squaredDeviations = 0.0

  /// The number of finite values.
  package var finiteCount: Int { count - nanCount - infiniteCount }
  /// The population standard deviation of the finite values.
  package var deviation: Double { (squaredDeviations / Double(max(finiteCount, 1))).squareRoot() }

  /// Computes the statistics of some values.
  package init(of values: Span<Double>) {
    count = values.count
    var sum = 0.0
    for i in values.indices {
      let value = values[i]
      guard value.isFinite else {
        if value.isNaN { nanCount += 1 } else { infiniteCount += 1 }
        continue
      }
      if value == 0 { zeroCount += 1 }
      if value < minimum { minimum = value }
      if value > maximum { maximum = value }
      sum += value
    }
    mean = sum / Double(max(finiteCount, 1))
    for i in values.indices where values[i].isFinite {
      squaredDeviations += (values[i] - mean) * (values[i] - mean)
    }
  }

  /// Adds the statistics of other values.
  ///
  /// - Source: Chan, Golub, LeVeque 1979, which avoids the cancellation in sums of squares.
  package mutating func merge(_ other: TensorStatistics) {
    let (n, m) = (Double(finiteCount), Double(other.finiteCount))
    if m > 0 {
      let distance = other.mean - mean
      squaredDeviations += other.squaredDeviations + distance * distance * n * m / (n + m)
      mean += distance * m / (n + m)
    }
    count += other.count
    nanCount += other.nanCount
    infiniteCount += other.infiniteCount
    zeroCount += other.zeroCount
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
  }

  /// Reads a tensor, several blocks in parallel.
  ///
  /// - Throws: `FormatError` when the tensor is damaged.
  package init(_ tensor: LogicalTensor, in checkpoint: Checkpoint) throws {
    self.init(of: [Double]().span)
    let values = try TensorValues(tensor, in: checkpoint)
    let blocks = values.blocks()
    for part in parallelMap(blocks.count, { TensorStatistics(of: values.values(in: blocks[$0]).span) }) {
      merge(part)
    }
  }
}

/// The statistics of a packed weight's codes and tables.
package struct CodeStatistics: Sendable, Equatable {
  /// The number of occurrences of each code.
  package let histogram: [Int]
  /// The smallest and the largest scale.
  package let scales: (minimum: Float, maximum: Float)
  /// The smallest and the largest bias.
  package let biases: (minimum: Float, maximum: Float)

  /// The codes that do not occur.
  package var unusedCodes: [Int] { histogram.indices.filter { histogram[$0] == 0 } }

  /// Reads a packed weight, several blocks of codes in parallel; nil for a dense tensor.
  ///
  /// - Throws: `FormatError` when the weight is damaged.
  package init?(_ tensor: LogicalTensor, in checkpoint: Checkpoint) throws {
    guard let packing = tensor.packing, let weight = try checkpoint.quantizedWeight(of: packing.module) else {
      return nil
    }
    histogram = Self.histogram(of: weight.codes, bits: weight.layout.codeBits)
    scales = Self.range(of: weight.scales)
    biases = Self.range(of: weight.biases)
  }

  private static func range(of values: [Float]) -> (minimum: Float, maximum: Float) {
    (values.min() ?? 0, values.max() ?? 0)
  }

  /// Returns the number of occurrences of each code.
  ///
  /// - Parameters:
  ///   - codes: Packed codes.
  ///   - bits: The width of a code.
  /// - Returns: One count per code, `[2^bits]`.
  package static func histogram(of codes: TensorBytes, bits: Int) -> [Int] {
    // 24 words hold a whole number of codes for every number of bits.
    let blockBytes = 24 << 12
    let blocks = stride(from: 0, to: codes.count, by: blockBytes).map {
      $0..<min(codes.count, $0 + blockBytes)
    }
    let parts = parallelMap(blocks.count) { i in
      codes.withSpan { counts(of: $0.extracting(blocks[i]), bits: bits) }
    }
    return parts.reduce([Int](repeating: 0, count: 1 << bits)) { sums, part in zip(sums, part).map(+) }
  }

  private static func counts(of bytes: RawSpan, bits: Int) -> [Int] {
    var codes = [UInt8](repeating: 0, count: bytes.byteCount * 8 / bits)
    var span = codes.mutableSpan
    unpackCodes(bytes, bits: bits, into: &span)
    var counts = [Int](repeating: 0, count: 1 << bits)
    for code in codes { counts[Int(code)] += 1 }
    return counts
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.histogram == b.histogram && a.scales == b.scales && a.biases == b.biases
  }
}
