#if canImport(Glibc)
  import Glibc
#endif

/// The parameters of the rotary position embedding.
public struct RotaryParameters: Sendable, Equatable {
  /// The base of the wavelengths.
  public let theta: Double
  /// The scaling of the wavelengths, if any.
  public let scaling: Scaling?

  /// A scaling of the wavelengths.
  public enum Scaling: Sendable, Equatable {
    /// Every frequency is divided by the factor.
    case linear(factor: Double)
    /// Low frequencies are divided by a factor, high ones are kept, and those between are blended.
    case llama3(Llama3Scaling)
  }

  /// Joins the parameters.
  package init(theta: Double, scaling: Scaling? = nil) {
    self.theta = theta
    self.scaling = scaling
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

extension RotaryParameters {
  /// The radians per position for each pair of a head, before scaling.
  package func plainFrequencies(headSize: Int) -> [Float] {
    (0..<headSize / 2).map { pair in
      1 / pow(Float(theta), Float(2 * pair) / Float(headSize))
    }
  }

  /// The radians per position for each pair of a head.
  package func frequencies(headSize: Int) -> [Float] {
    plainFrequencies(headSize: headSize).map { frequency in
      switch scaling {
      case nil: return frequency
      case .linear(let factor): return frequency / Float(factor)
      case .llama3(let llama3):
        let share = Float(llama3.keptShare(ofFrequency: Double(frequency)))
        return (1 - share) * frequency / Float(llama3.factor) + share * frequency
      }
    }
  }

  /// The divisor of each frequency of a head if the divisors differ; otherwise nil.
  package func divisors(headSize: Int) -> [Float]? {
    guard case .llama3(let llama3) = scaling else { return nil }
    return plainFrequencies(headSize: headSize).map { Float(llama3.divisor(ofFrequency: Double($0))) }
  }
}
