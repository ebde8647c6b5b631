import Foundation

/// The cosines and sines that turn queries and keys, by position.
///
/// Source: RoFormer, arXiv:2104.09864; the wavelength scaling of Llama 3.1 as Hugging Face computes it.
package struct RotaryEmbedding: Sendable {
  /// Half the width of a head.
  package let half: Int
  /// `[positions, half]`.
  package let cosines: [Float]
  /// `[positions, half]`.
  package let sines: [Float]

  /// Tabulates positions `0..<positionCount`.
  package init(_ parameters: RotaryParameters, headSize: Int, positionCount: Int) {
    half = headSize / 2
    let frequencies = Self.frequencies(parameters, headSize: headSize)
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positionCount * half)
    sines.reserveCapacity(positionCount * half)
    for position in 0..<positionCount {
      for frequency in frequencies {
        // The angle is rounded to f32 before its cosine is taken, as the reference does.
        let angle = Float(position) * frequency
        cosines.append(cos(angle))
        sines.append(sin(angle))
      }
    }
    self.cosines = cosines
    self.sines = sines
  }

  /// The radians a position, for each pair of a head.
  static func frequencies(_ parameters: RotaryParameters, headSize: Int) -> [Float] {
    (0..<headSize / 2).map { j in
      let exponent = Float(2 * j) / Float(headSize)
      return scaled(1 / pow(Float(parameters.theta), exponent), by: parameters.scaling)
    }
  }

  private static func scaled(_ frequency: Float, by scaling: RotaryParameters.Scaling?) -> Float {
    switch scaling {
    case nil: return frequency
    case .linear(let factor): return frequency / Float(factor)
    case .llama3(let factor, let low, let high, let context):
      let wavelength = 2 * Double.pi / Double(frequency)
      let turns = Double(context) / wavelength
      if turns < low { return frequency / Float(factor) }
      if turns > high { return frequency }
      let blend = Float((turns - low) / (high - low))
      return (1 - blend) * frequency / Float(factor) + blend * frequency
    }
  }
}
