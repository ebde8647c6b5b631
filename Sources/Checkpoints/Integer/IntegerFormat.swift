/// The formats with integer zero points that are written.
package enum IntegerFormat: String, Sendable {
  /// GPTQ's tensors, zero points stored minus one.
  case gptq
  /// GPTQ's tensors, zero points stored as they are.
  case gptqV2 = "gptq_v2"
  /// AutoRound's packing of GPTQ's tensors.
  case autoRound = "autoround"
  /// The format `pack-quantized` of compressed-tensors.
  case compressedTensors = "compressed-tensors"

  /// The widths of codes that are read and written.
  static let codeWidths = [2, 3, 4, 8]

  /// How the tensors of a module are named and packed.
  var layout: IntegerQuantization.Layout { self == .compressedTensors ? .compressedTensors : .gptq }

  /// The contents of the fields of packed zero points.
  ///
  /// - Parameter isSymmetric: Whether all modules are symmetric; AutoRound then packs like GPTQ's first
  ///   version.
  /// - Returns: The version.
  func storedZeroPoints(isSymmetric: Bool) -> StoredZeroPoints {
    switch self {
    case .gptq: .v1
    case .autoRound: isSymmetric ? .v1 : .v2
    case .gptqV2, .compressedTensors: .v2
    }
  }

  /// The least zero point that can be stored.
  var leastZeroPoint: Int { self == .gptq ? 1 : 0 }
}
