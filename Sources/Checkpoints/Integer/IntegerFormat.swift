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

extension IntegerFormat {
  /// What makes codes and tables that the format holds.
  var remedy: String { "'rilq quantize --grid zero_point' makes tables that it holds" }

  /// Refuses tables that the format cannot be expected to hold, whatever their values will be.
  ///
  /// - Parameters:
  ///   - contents: What will be written.
  ///   - modules: The modules whose tables are not computed yet.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.notExact` with the module.
  package func requireRepresentable(
    _ contents: CheckpointContents, packing modules: Set<String>, path: String
  ) throws(FormatError) {
    for module in modules.sorted(by: precedes) {
      guard let tables = contents.quantization[module] else { continue }
      let place = "module '\(module)'"
      guard tables.zeroPointGrid != nil else {
        throw FormatError(
          path, at: place,
          .notExact(
            "will have \(tables.phrase), but \(rawValue) has only biases that are multiples of the scales; "
              + remedy))
      }
      let scales = ModuleTensor.scales.name(of: module)
      if layout == .gptq, let tensor = contents.tensors.first(where: { $0.name == scales }),
        tensor.dtype != .f16
      {
        throw FormatError(
          path, at: place,
          .notExact(
            "will have scales in \(tensor.dtype.rawValue), but \(rawValue) has F16; --tables f16 makes them F16"
          ))
      }
    }
  }
}
