/// A seeded sequence of random numbers, independent of the sequences of other streams.
///
/// Source: SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
package struct RandomStream: Sendable {
  private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15
  private var state: UInt64

  /// Starts a sequence.
  ///
  /// - Parameters:
  ///   - seed: The seed of the whole run.
  ///   - stream: The number of the sequence.
  package init(seed: UInt64, stream: Int) {
    // Mixed twice, so that seed 1, stream 2 differs from seed 2, stream 1.
    state = Self.mixed(Self.mixed(seed &+ Self.step) &+ UInt64(stream) &* Self.step)
  }

  /// Returns the next number, at least 0 and below 1.
  package mutating func uniform() -> Double {
    state &+= Self.step
    return Double(Self.mixed(state) >> 11) * 0x1p-53
  }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
