/// A family of models that differ only in their sizes: the names of their tensors and their computation.
///
/// To add a family, add a file in `Families/` and a line in `all`.
package struct ModelFamily: Sendable, Equatable {
  /// The value of `model_type` in `config.json`.
  package let modelType: String
  /// The value of `architectures` in `config.json`.
  package let className: String
  /// The value of `general.architecture` in a GGUF file, which begins its keys.
  package let ggufArchitecture: String
  /// The possible prefixes of all modules except the head, the usual one first.
  package let prefixes: [String]
  /// The embedding, `[vocabulary, stream]`, below the prefix.
  package let embedding: TensorSlot
  /// The name between the prefix and the number of a layer, in a checkpoint and in GGUF.
  package let layers: (module: String, gguf: String)
  /// The description of every layer.
  package let layer: LayerDescription
  /// The norm after the last layer, `[stream]`, below the prefix.
  package let finalNorm: TensorSlot
  /// The output head, `[vocabulary, stream]`, without a prefix.
  package let head: TensorSlot
  /// The number of key and value heads if `config.json` lacks the key; nil means as many as query heads.
  package let defaultKeyValueHeadCount: Int?
  /// Keys that the family ignores although they mean something in other families.
  package let ignoredKeys: Set<String>

  /// The supported families.
  package static let all: [ModelFamily] = [.llama, .mistral]

  package static func == (first: ModelFamily, second: ModelFamily) -> Bool {
    first.modelType == second.modelType
  }

  /// The family of a `model_type`, or nil when it is not supported.
  package static func named(_ modelType: String) -> ModelFamily? {
    all.first { $0.modelType == modelType }
  }
}
