/// The keys and values of the tokens that one sequence has so far, layer by layer.
package struct KeyValueCache: Sendable {
  /// What attention needs of one layer.
  struct Layer: Sendable {
    /// `[tokens, key-value heads · headSize]`, turned by their positions.
    fileprivate(set) var keys: [Float] = []
    /// As many.
    fileprivate(set) var values: [Float] = []

    /// Adds the keys and values of one token.
    mutating func append(keys newKeys: ArraySlice<Float>, values newValues: ArraySlice<Float>) {
      keys.append(contentsOf: newKeys)
      values.append(contentsOf: newValues)
    }
  }

  var layers: [Layer]
  /// The tokens whose keys and values every layer has.
  package internal(set) var tokenCount = 0

  /// Begins a sequence without tokens.
  init(layerCount: Int) { layers = [Layer](repeating: Layer(), count: layerCount) }

  /// The bytes of a sequence.
  static func byteCount(_ c: LlamaConfiguration, tokens: Int) -> Int {
    2 * 4 * tokens * c.layerCount * c.keyValueHeadCount * c.headSize
  }
}
