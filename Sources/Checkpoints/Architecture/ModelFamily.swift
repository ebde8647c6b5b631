/// A family of models that differ in their sizes only: what their tensors are called and what is computed with them.
///
/// A family is a file in `Families/` and a line in `all`.
package struct ModelFamily: Sendable, Equatable {
  /// The values of `model_type` in `config.json`.
  package let modelType: String
  /// The value of `architectures` in `config.json`.
  package let className: String
  /// The value of `general.architecture` in a GGUF file, which begins its keys.
  package let ggufArchitecture: String
  /// What the modules but for the head may begin with, the usual first.
  package let prefixes: [String]
  /// `[vocabulary, stream]`, below the prefix.
  package let embedding: TensorSlot
  /// What comes between the prefix and the number of a layer, and the same in GGUF.
  package let layers: (module: String, gguf: String)
  /// Every layer.
  package let layer: LayerDescription
  /// `[stream]`, below the prefix.
  package let finalNorm: TensorSlot
  /// `[vocabulary, stream]`, without a prefix.
  package let head: TensorSlot
  /// The number of key and value heads where `config.json` lacks the key; nil for as many as query heads.
  package let defaultKeyValueHeadCount: Int?
  /// Keys that the family's models ignore, although they mean something in others.
  package let ignoredKeys: Set<String>

  /// The families that are read.
  package static let all: [ModelFamily] = [.llama, .mistral]

  package static func == (first: ModelFamily, second: ModelFamily) -> Bool {
    first.modelType == second.modelType
  }

  /// The family of a `model_type`, or nil when it is none that is read.
  package static func named(_ modelType: String) -> ModelFamily? {
    all.first { $0.modelType == modelType }
  }
}
