import Foundation

/// An orthogonal transform that spreads every element of a vector evenly over all others, without a stored
/// matrix.
///
/// The matrix is `Tₘ ⊗ H · D`. `D` are signs, `H` is the Walsh–Hadamard matrix of the largest power of two
/// that divides the size, and `Tₘ` is the discrete Hartley matrix of the remaining odd factor `m`,
/// `cas(2πij/m) / √m`, because there is no matrix of signs for odd sizes. All entries have about the size
/// `1 / √size`. `Tₘ` and `H` are symmetric.
///
/// Source: the randomized Hadamard transform of QuIP#, arXiv:2402.04396, section 3, with the Hartley matrix
/// (Bracewell, J. Opt. Soc. Am. 73, 1983) in place of tabled matrices.
package struct OrthogonalTransform: Sendable {
  /// The largest supported odd factor of a size, since its matrix is stored; those of models are below 100.
  package static let oddLimit = 1 << 11
  /// The length of a vector.
  package let size: Int
  private let signs: [Double]
  private let power: Int
  /// `[odd, odd]`, symmetric.
  private let hartley: [Double]

  /// The largest odd number that divides a size of at least 1.
  package static func oddFactor(of size: Int) -> Int { size / (size & -size) }

  /// Makes a transform of as many elements as there are signs.
  ///
  /// - Parameter signs: 1 or -1 each, at least one; the odd factor of their number is at most `oddLimit`.
  package init(signs: [Double]) {
    precondition(!signs.isEmpty && signs.allSatisfy { abs($0) == 1 }, "signs that are none")
    size = signs.count
    self.signs = signs
    power = size & -size
    let odd = Self.oddFactor(of: size)
    precondition(odd <= Self.oddLimit, "an odd factor of \(odd)")
    hartley = (0..<odd * odd).map { element in
      let angle = 2 * Double.pi * Double((element / odd) * (element % odd) % odd) / Double(odd)
      return (cos(angle) + sin(angle)) / Double(odd).squareRoot()
    }
  }

  /// Replaces a vector with its transform; its norm changes only by rounding.
  package func apply(to values: inout MutableSpan<Float>) {
    precondition(values.count == size, "\(values.count) values, expected \(size)")
    var sums = [Double](repeating: 0, count: size)
    for i in sums.indices { sums[i] = Double(values[i]) * signs[i] }
    transformBlocks(&sums)
    let odd = size / power
    guard odd > 1 else {
      for i in sums.indices { values[i] = Float(sums[i]) }
      return
    }
    var mixed = [Double](repeating: 0, count: power)
    let (source, factors) = (sums.span, hartley.span)
    for i in 0..<odd {
      var target = mixed.mutableSpan
      for j in 0..<power { target[j] = factors[i * odd] * source[j] }
      for k in 1..<odd {
        let factor = factors[i * odd + k]
        for j in 0..<power { target[j] += factor * source[k * power + j] }
      }
      for j in 0..<power { values[i * power + j] = Float(target[j]) }
    }
  }

  /// The Walsh–Hadamard transform of each block of `power` elements.
  private func transformBlocks(_ values: inout [Double]) {
    let scale = 1 / Double(power).squareRoot()
    var span = values.mutableSpan
    var half = 1
    while half < power {
      for start in stride(from: 0, to: span.count, by: 2 * half) {
        for i in start..<start + half {
          let (a, b) = (span[i], span[i + half])
          span[i] = a + b
          span[i + half] = a - b
        }
      }
      half *= 2
    }
    for i in span.indices { span[i] *= scale }
  }
}
