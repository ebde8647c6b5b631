import Foundation

/// The parameters of the rotary position embedding.
///
/// Source: RoFormer, arXiv:2104.09864; the scalings as transformers computes them, in f32.
public struct RotaryParameters: Sendable, Equatable {
  /// The base of the wavelengths.
  public let theta: Double
  /// The scaling of the wavelengths, if any.
  public let scaling: Scaling?

  /// A scaling of the wavelengths.
  public enum Scaling: Sendable, Equatable {
    /// Every frequency is divided by the factor.
    case linear(factor: Double)
    /// The base grows with the length of the sequence.
    case dynamic(DynamicScaling)
    /// Low frequencies are divided by a factor, high ones are kept, and those between are blended.
    case llama3(Llama3Scaling)
    /// As `llama3`, blended by the index of the pair, and all queries and keys grow.
    case yarn(YarnScaling)
    /// Every frequency has a divisor of its own, and another one in long sequences.
    case longrope(LongRopeScaling)
    /// Only the first pairs turn, with the wavelengths of a whole head; the other pairs of the head stay.
    case proportional(ProportionalScaling)
  }

  /// Joins the parameters.
  package init(theta: Double, scaling: Scaling? = nil) {
    self.theta = theta
    self.scaling = scaling
  }
}

extension RotaryParameters {
  /// The radians per position for each pair of a head, before scaling.
  package func plainFrequencies(headSize: Int) -> [Float] {
    Self.plainFrequencies(theta: Float(theta), width: headSize)
  }

  /// The radians per position for each pair of a head that turns as a whole, in short sequences.
  package func frequencies(headSize: Int) -> [Float] { frequencies(turnedCount: headSize) }

  /// The radians per position for each pair of a head.
  ///
  /// - Parameters:
  ///   - turnedCount: The columns of a head that turn; all of them for the proportional scaling.
  ///   - sequenceLength: The number of positions of the whole sequence; some scalings depend on it.
  /// - Returns: `[turnedCount / 2]`.
  package func frequencies(turnedCount: Int, sequenceLength: Int = 0) -> [Float] {
    let plain = plainFrequencies(headSize: turnedCount)
    switch scaling {
    case nil: return plain
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .dynamic(let dynamic):
      guard sequenceLength > dynamic.context else { return plain }
      let base = dynamic.base(theta, turnedCount: turnedCount, sequenceLength: sequenceLength)
      return Self.plainFrequencies(theta: base, width: turnedCount)
    case .llama3(let llama3):
      return plain.map { frequency in
        let share = Float(llama3.keptShare(ofFrequency: Double(frequency)))
        return (1 - share) * frequency / Float(llama3.factor) + share * frequency
      }
    case .yarn(let yarn): return yarn.frequencies(theta: theta, turnedCount: turnedCount)
    case .longrope(let longrope):
      let divisors = longrope.divisors(sequenceLength: sequenceLength)
      precondition(divisors.count == plain.count, "\(divisors.count) divisors, \(plain.count) frequencies")
      return Self.powers(theta: Float(theta), width: turnedCount).indexed { 1 / (Float(divisors[$0]) * $1) }
    case .proportional(let proportional):
      let turning = proportional.pairCount(headSize: turnedCount)
      return plain.indexed { ($0 < turning ? $1 : 0) / Float(proportional.factor) }
    }
  }

  /// The factor of the cosines and sines, and so of queries and keys.
  package var amplitude: Double {
    switch scaling {
    case nil, .linear, .dynamic, .llama3, .proportional: 1
    case .yarn(let yarn): yarn.amplitude
    case .longrope(let longrope): longrope.amplitude
    }
  }

  /// Whether the frequencies depend on the length of the sequence.
  package var dependsOnLength: Bool {
    switch scaling {
    case nil, .linear, .llama3, .yarn, .proportional: false
    case .dynamic: true
    case .longrope(let longrope): longrope.shortDivisors != longrope.longDivisors
    }
  }

  /// Whether the frequencies of sequences of two lengths differ.
  ///
  /// All positions of a sequence then have other angles when it grows from one length to the other.
  package func changes(between first: Int, _ second: Int) -> Bool {
    switch scaling {
    case nil, .linear, .llama3, .yarn, .proportional: false
    case .dynamic(let dynamic): max(first, dynamic.context) != max(second, dynamic.context)
    case .longrope(let longrope):
      longrope.divisors(sequenceLength: first) != longrope.divisors(sequenceLength: second)
    }
  }

  /// The divisors of the frequencies of a head if they differ and the sequence's length has no part in them;
  /// otherwise nil.
  package func divisors(headSize: Int) -> [Float]? {
    guard case .llama3(let llama3) = scaling else { return nil }
    return plainFrequencies(headSize: headSize).map { Float(llama3.divisor(ofFrequency: Double($0))) }
  }

  fileprivate static func plainFrequencies(theta: Float, width: Int) -> [Float] {
    powers(theta: theta, width: width).map { 1 / $0 }
  }

  /// The wavelengths over 2π, `theta^(2 i / width)`.
  fileprivate static func powers(theta: Float, width: Int) -> [Float] {
    (0..<width / 2).map { pow(theta, Float(2 * $0) / Float(width)) }
  }
}

/// The scaling whose base grows with the sequence, also called dynamic NTK.
public struct DynamicScaling: Sendable, Equatable {
  /// The growth of the base per context.
  public let factor: Double
  /// The longest sequence with the plain base.
  public let context: Int

  /// Joins the parameters.
  package init(factor: Double, context: Int) {
    self.factor = factor
    self.context = context
  }

  /// The base for a sequence longer than the context.
  fileprivate func base(_ theta: Double, turnedCount: Int, sequenceLength: Int) -> Float {
    let growth = Float(factor) * Float(sequenceLength) / Float(context) - Float(factor - 1)
    return Float(theta) * pow(growth, Float(Double(turnedCount) / Double(turnedCount - 2)))
  }
}

/// The scaling of the wavelengths in Llama 3.1.
public struct Llama3Scaling: Sendable, Equatable {
  /// The divisor of low frequencies.
  public let factor: Double
  /// Frequencies that turn fewer times than this in the original context are divided by the whole factor.
  public let lowFrequencyFactor: Double
  /// Frequencies that turn more often than this are kept.
  public let highFrequencyFactor: Double
  /// The number of positions the model was first trained for.
  public let originalContext: Int

  /// Joins the parameters.
  package init(
    factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int
  ) {
    self.factor = factor
    self.lowFrequencyFactor = lowFrequencyFactor
    self.highFrequencyFactor = highFrequencyFactor
    self.originalContext = originalContext
  }

  /// The share of a frequency that is kept: 0 divides it by the whole factor, 1 leaves it unchanged.
  ///
  /// The frequency is in radians per position, before scaling.
  package func keptShare(ofFrequency frequency: Double) -> Double {
    let turns = Double(originalContext) / (2 * Double.pi / frequency)
    return min(
      max((turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor), 0), 1)
  }

  /// The divisor of a frequency.
  ///
  /// The frequency is in radians per position, before scaling.
  package func divisor(ofFrequency frequency: Double) -> Double {
    let share = keptShare(ofFrequency: frequency)
    return 1 / ((1 - share) / factor + share)
  }
}

/// The scaling of YaRN.
///
/// Source: arXiv:2309.00071, section 3.
public struct YarnScaling: Sendable, Equatable {
  /// The divisor of low frequencies.
  public let factor: Double
  /// The number of positions the model was first trained for.
  public let originalContext: Int
  /// Frequencies that turn more often than this in the original context are kept.
  public let fastTurns: Double
  /// Frequencies that turn less often than this in the original context are divided by the whole factor.
  public let slowTurns: Double
  /// Whether the two bounds are rounded outwards to whole pairs.
  public let roundsBounds: Bool
  /// The factor of queries and of keys, as the configuration states it; nil if it follows from the others.
  public var statedAmplitude: Double?
  /// The weights of the logarithm of the factor in numerator and denominator of the amplitude, if stated.
  public var logarithmWeights: LogarithmWeights?

  /// `mscale` and `mscale_all_dim`, neither of them 0.
  public struct LogarithmWeights: Sendable, Equatable {
    /// `mscale`.
    public let numerator: Double
    /// `mscale_all_dim`.
    public let denominator: Double

    /// Joins the weights.
    package init(numerator: Double, denominator: Double) {
      self.numerator = numerator
      self.denominator = denominator
    }
  }

  /// Joins the parameters.
  package init(
    factor: Double, originalContext: Int, fastTurns: Double = 32, slowTurns: Double = 1,
    roundsBounds: Bool = true, statedAmplitude: Double? = nil, logarithmWeights: LogarithmWeights? = nil
  ) {
    self.factor = factor
    self.originalContext = originalContext
    self.fastTurns = fastTurns
    self.slowTurns = slowTurns
    self.roundsBounds = roundsBounds
    self.statedAmplitude = statedAmplitude
    self.logarithmWeights = logarithmWeights
  }

  /// The factor of queries and of keys.
  package var amplitude: Double {
    if let statedAmplitude { return statedAmplitude }
    guard let logarithmWeights else { return growth(1) }
    return growth(logarithmWeights.numerator) / growth(logarithmWeights.denominator)
  }

  private func growth(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }

  /// The index of the pair that turns this often in the original context.
  private func pair(turns: Double, theta: Double, turnedCount: Int) -> Double {
    Double(turnedCount) * log(Double(originalContext) / (turns * 2 * Double.pi)) / (2 * log(theta))
  }

  fileprivate func frequencies(theta: Double, turnedCount: Int) -> [Float] {
    var low = pair(turns: fastTurns, theta: theta, turnedCount: turnedCount)
    var high = pair(turns: slowTurns, theta: theta, turnedCount: turnedCount)
    if roundsBounds { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    low = max(low, 0)
    high = min(high, Double(turnedCount - 1))
    // Equal bounds would divide by 0; transformers moves them apart by as much.
    if low == high { high += 0.001 }
    return RotaryParameters.powers(theta: Float(theta), width: turnedCount).indexed { pair, power in
      let ramp = min(max((Float(pair) - Float(low)) / Float(high - low), 0), 1)
      let kept = 1 - ramp
      return 1 / (Float(factor) * power) * (1 - kept) + 1 / power * kept
    }
  }
}

/// The scaling of LongRoPE, as in Phi 3 and 4.
///
/// Source: arXiv:2402.13753.
public struct LongRopeScaling: Sendable, Equatable {
  /// The divisor of each frequency in sequences of at most `originalContext` positions.
  public let shortDivisors: [Double]
  /// The divisor of each frequency in longer sequences.
  public let longDivisors: [Double]
  /// The number of positions the model was first trained for.
  public let originalContext: Int
  /// The factor of queries and of keys.
  public let amplitude: Double

  /// Joins the parameters.
  package init(
    shortDivisors: [Double], longDivisors: [Double], originalContext: Int, amplitude: Double
  ) {
    self.shortDivisors = shortDivisors
    self.longDivisors = longDivisors
    self.originalContext = originalContext
    self.amplitude = amplitude
  }

  /// The amplitude of a model whose context has grown by a factor.
  package static func amplitude(factor: Double, originalContext: Int) -> Double {
    factor <= 1 ? 1 : (1 + log(factor) / log(Double(originalContext))).squareRoot()
  }

  fileprivate func divisors(sequenceLength: Int) -> [Double] {
    sequenceLength > originalContext ? longDivisors : shortDivisors
  }
}

/// The scaling of the global layers of Gemma 4.
public struct ProportionalScaling: Sendable, Equatable {
  /// The share of a head's pairs that turn, from 0 to 1.
  public let share: Double
  /// The divisor of every frequency.
  public let factor: Double

  /// Joins the parameters.
  package init(share: Double, factor: Double = 1) {
    self.share = share
    self.factor = factor
  }

  /// The number of pairs that turn.
  package func pairCount(headSize: Int) -> Int {
    min(Int((share * Double(headSize) / 2).rounded(.down)), headSize / 2)
  }
}

extension Array {
  /// Maps elements with their indices.
  fileprivate func indexed<T>(_ transform: (Int, Element) -> T) -> [T] { enumerated().map(transform) }
}
