package import Checkpoints
import Foundation

/// The cosines and sines, by position, that rotate queries and keys.
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
    let frequencies = parameters.frequencies(headSize: headSize)
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
}
