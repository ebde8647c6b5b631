package import Checkpoints
import Kernels

/// The files under `Fixtures/`.
package enum Fixtures {
  /// The path of a fixture.
  package static func path(_ name: String) -> String { root + "/Fixtures/" + name }

  /// The root of the package.
  package static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    .dropLast(3).joined(separator: "/")

  /// The floats of a tensor of a checkpoint.
  package static func floats(_ name: String, in checkpoint: Checkpoint) throws -> [Float] {
    let dtype = checkpoint.tensor(named: name)?.dtype
    let format: FloatFormat = dtype == .bf16 ? .bf16 : dtype == .f16 ? .f16 : .f32
    return try checkpoint.bytes(of: name).withSpan { widened($0, from: format) }
  }

  /// The integers of an `I32` tensor of a checkpoint.
  package static func integers(_ name: String, in checkpoint: Checkpoint) throws -> [Int32] {
    try checkpoint.bytes(of: name).withSpan { bytes in
      (0..<bytes.byteCount / 4).map { bytes.integer(at: 4 * $0, as: Int32.self) }
    }
  }
}

/// The Frobenius norm of a difference, relative to that of the expected values.
package func relativeError(_ values: [Float], _ expected: [Float]) -> Double {
  precondition(values.count == expected.count, "\(values.count) values, expected \(expected.count)")
  var squared = 0.0
  var norm = 0.0
  for (a, b) in zip(values, expected) {
    squared += (Double(a) - Double(b)) * (Double(a) - Double(b))
    norm += Double(b) * Double(b)
  }
  return (squared / max(norm, 1e-60)).squareRoot()
}
