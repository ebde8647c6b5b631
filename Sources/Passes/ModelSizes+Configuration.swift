import Checkpoints
import Models

extension ModelSizes {
  /// The sizes that a configuration names.
  init(_ c: ModelConfiguration) {
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
    let layout = try ModelLayout(of: input)
    try layout.requireTensors(in: input)
    self.init(layout.configuration)
  }
}
