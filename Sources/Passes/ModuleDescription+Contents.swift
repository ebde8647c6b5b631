package import Checkpoints

extension ModuleDescription {
  /// The modules with an unpacked matrix `<module>.weight`, in the order of the file.
  package static func denseMatrices(of checkpoint: Checkpoint) -> [ModuleDescription] {
    matrices(of: checkpoint).filter { checkpoint.contents.quantization[$0.name] == nil }
  }

  /// The modules whose matrix can be quantized to a number of bits, in the order of the file.
  ///
  /// These are the unpacked modules and those packed with more bits, whose values are exact.
  package static func quantizableMatrices(
    of checkpoint: Checkpoint, bits: Int
  ) -> [ModuleDescription] {
    matrices(of: checkpoint).filter {
      checkpoint.contents.quantization[$0.name].map { $0.bits > bits } ?? true
    }
  }

  /// The modules with a matrix `<module>.weight`, packed or not, in the order of the file.
  ///
  /// The architecture names the linears of the layers. If it is not supported, every matrix below a numbered
  /// layer counts as a linear unless its name says otherwise. Matrices that choose experts are left out.
  package static func matrices(of checkpoint: Checkpoint) -> [ModuleDescription] {
    let layout = try? ModelLayout(of: checkpoint)
    return names(of: checkpoint.contents).compactMap { name in
      guard let layout else {
        let reason = UnquantizedModule.Reason(ofName: name)
        guard reason != .router else { return nil }
        return ModuleDescription(name: name, isLayerLinear: reason == nil && isBelowNumberedLayer(name))
      }
      guard !layout.isRouter(name) else { return nil }
      return ModuleDescription(name: name, isLayerLinear: layout.isLayerLinear(name))
    }
  }

  /// The names of the modules with a matrix, in the order of the file.
  package static func names(of contents: CheckpointContents) -> [String] {
    contents.tensors.compactMap { tensor in
      guard tensor.shape.count == 2, let (module, part) = ModuleTensor.split(tensor.name), part == .weight
      else { return nil }
      return module
    }
  }

  /// Whether a name has a numbered layer in it: `model.layers.0.mlp.up_proj`.
  static func isBelowNumberedLayer(_ name: String) -> Bool {
    let parts = name.split(separator: ".")
    guard let layers = parts.firstIndex(of: "layers"), layers + 1 < parts.count else { return false }
    return Int(parts[layers + 1]) != nil
  }
}
