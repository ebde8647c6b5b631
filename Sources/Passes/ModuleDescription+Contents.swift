package import Checkpoints

extension ModuleDescription {
  /// The modules with a matrix `<module>.weight` that is not packed, in the order of the file.
  package static func denseMatrices(of contents: CheckpointContents) -> [ModuleDescription] {
    matrices(of: contents).filter { contents.quantization[$0.name] == nil }
  }

  /// The modules whose matrix can be quantized to some bits, in the order of the file.
  ///
  /// They are those that are not packed, and those that are packed with more bits: their values are exact.
  package static func quantizableMatrices(
    of contents: CheckpointContents, bits: Int
  ) -> [ModuleDescription] {
    matrices(of: contents).filter { contents.quantization[$0.name].map { $0.bits > bits } ?? true }
  }

  /// The modules with a matrix `<module>.weight`, packed or not, in the order of the file.
  package static func matrices(of contents: CheckpointContents) -> [ModuleDescription] {
    contents.tensors.compactMap { tensor in
      guard tensor.shape.count == 2, tensor.name.hasSuffix(".weight") else { return nil }
      let name = String(tensor.name.dropLast(".weight".count))
      guard !name.hasSuffix(".lora_A"), !name.hasSuffix(".lora_B") else { return nil }
      return ModuleDescription(name: name, isLayerLinear: isLayerLinear(name))
    }
  }

  private static func isLayerLinear(_ name: String) -> Bool {
    let parts = name.split(separator: ".")
    guard let layers = parts.firstIndex(of: "layers"), layers + 1 < parts.count else { return false }
    return Int(parts[layers + 1]) != nil
  }
}
