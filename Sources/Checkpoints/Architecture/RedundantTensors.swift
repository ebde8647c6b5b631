import Kernels

extension ModelLayout {
  /// The ending of the names of rotary frequencies, which old checkpoints have beside the weights.
  package static let frequencyEnding = "rotary_emb.inv_freq"

  /// The tensors of a checkpoint that add nothing: a head equal to the embedding, frequencies that follow
  /// from the configuration.
  ///
  /// - Returns: Their names, in the order of the file.
  /// - Throws: `FormatError` when a tensor cannot be read.
  package func redundantTensors(in checkpoint: Checkpoint) throws -> [String] {
    let hasTiedHead = try outputHead(in: checkpoint) == .embedding
    return try checkpoint.contents.tensors.filter { tensor in
      if hasTiedHead, ModuleTensor.split(tensor.name)?.module == head.module { return true }
      guard tensor.name.hasSuffix(Self.frequencyEnding) else { return false }
      return try followsFromConfiguration(tensor, in: checkpoint)
    }.map(\.name)
  }

  /// Whether frequencies are those of the configuration, before or after scaling, up to the rounding of their
  /// dtype.
  private func followsFromConfiguration(_ tensor: TensorInfo, in checkpoint: Checkpoint) throws -> Bool {
    guard let format = FloatFormat(tensor.dtype) else { return false }
    let tolerance: Float =
      switch format {
      case .f32: 1e-5
      case .f16: 1 / 1024
      case .bf16: 1 / 128
      }
    let found = try checkpoint.bytes(of: tensor.name).withSpan { widened($0, from: format) }
    return configuration.rotaryDescriptions.contains { rotary in
      let (parameters, size) = (rotary.parameters, rotary.turnedCount)
      guard tensor.shape == [size / 2] else { return false }
      return [parameters.plainFrequencies(headSize: size), parameters.frequencies(headSize: size)].contains {
        expected in
        zip(found, expected).allSatisfy { abs($0 - $1) <= tolerance * $1 }
      }
    }
  }
}
