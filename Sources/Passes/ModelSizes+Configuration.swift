import Checkpoints
import Models

extension ModelSizes {
  /// Takes the sizes from a configuration.
  init(_ c: ModelConfiguration) {
    hidden = MemoryEstimate(c.hiddenSize)
    intermediate = MemoryEstimate(c.intermediateSize)
    layers = MemoryEstimate(c.layerCount)
    vocabulary = MemoryEstimate(c.vocabularySize)
    queries = MemoryEstimate(c.headCount) * MemoryEstimate(c.headSize)
    keys = MemoryEstimate(c.keyValueHeadCount) * MemoryEstimate(c.headSize)
    layerWeights = MemoryEstimate(c.layerWeightCount)
  }

  /// Reads the sizes of a checkpoint's model and checks its tensors against them.
  ///
  /// - Throws: `FormatError` when the configuration is malformed or the tensors contradict it.
  init(of input: Checkpoint) throws {
    let layout = try ModelLayout(of: input)
    try layout.requireTensors(in: input)
    self.init(layout.configuration)
  }
}
