import Checkpoints
import Models

extension ModelSizes {
  /// The sizes that a configuration names.
  init(_ c: LlamaConfiguration) {
    hidden = MemoryEstimate(c.hiddenSize)
    intermediate = MemoryEstimate(c.intermediateSize)
    layers = MemoryEstimate(c.layerCount)
    vocabulary = MemoryEstimate(c.vocabularySize)
    queries = MemoryEstimate(c.headCount) * MemoryEstimate(c.headSize)
    keys = MemoryEstimate(c.keyValueHeadCount) * MemoryEstimate(c.headSize)
    layerWeights = hidden * (2 * queries + 2 * keys + 3 * intermediate)
  }

  /// The sizes of a checkpoint's model, after its tensors were found to have them.
  ///
  /// - Throws: `FormatError` when the configuration is malformed or the tensors contradict it.
  init(of input: Checkpoint) throws {
    let configuration = try LlamaConfiguration(of: input)
    try configuration.requireShapes(of: input)
    self.init(configuration)
  }
}

extension LlamaConfiguration {
  /// Refuses a configuration whose sizes are not those of the tensors; stops at the first that differs.
  ///
  /// Reads headers only, so that a checkpoint that is yet to be written can be checked.
  ///
  /// - Throws: `FormatError` with the tensor.
  func requireShapes(of input: Checkpoint) throws {
    try requireWeight("model.embed_tokens", [vocabularySize, hiddenSize], of: input)
    let (queries, keys) = (headCount * headSize, keyValueHeadCount * headSize)
    for index in 0..<layerCount {
      let layer = "model.layers.\(index)"
      try requireWeight("\(layer).self_attn.q_proj", [queries, hiddenSize], of: input)
      try requireWeight("\(layer).self_attn.k_proj", [keys, hiddenSize], of: input)
      try requireWeight("\(layer).self_attn.v_proj", [keys, hiddenSize], of: input)
      try requireWeight("\(layer).self_attn.o_proj", [hiddenSize, queries], of: input)
      try requireWeight("\(layer).mlp.gate_proj", [intermediateSize, hiddenSize], of: input)
      try requireWeight("\(layer).mlp.up_proj", [intermediateSize, hiddenSize], of: input)
      try requireWeight("\(layer).mlp.down_proj", [hiddenSize, intermediateSize], of: input)
    }
  }

  private func requireWeight(_ module: String, _ shape: [Int], of input: Checkpoint) throws {
    guard let weight = input.tensor(named: module + ".weight") else {
      throw FormatError(input.path, .missing("tensor '\(module).weight'"))
    }
    var found = weight.shape
    if let bits = input.contents.quantization[module]?.bits, let width = found.last {
      // Codes are packed into words of 32 bits.
      found[found.count - 1] = (MemoryEstimate(width) * 32).byteCount / max(bits, 1)
    }
    guard found == shape else {
      throw FormatError(
        input.path, at: "tensor '\(weight.name)'", .shape(expected: shape, found: found))
    }
  }
}
