/// A family of models: how its configuration is read, and which computation it stands for.
///
/// To add a family, add a file in `Families/` and a line in `all`.
package struct ModelFamily: Sendable, Equatable {
  /// The value of `model_type` in `config.json`.
  package let modelType: String
  /// The value of `architectures` in `config.json`.
  package let className: String
  /// The value of `general.architecture` in a GGUF file, which begins its keys.
  package let ggufArchitecture: String
  /// The `model_type` of models that have one of this family in `text_config`.
  package var wrappers: [String] = []
  /// The possible prefixes of all modules except the head, the usual one first.
  package var prefixes = ["model.", "", "language_model.model.", "model.language_model."]
  /// The possible prefixes of the head, the usual one first.
  package var headPrefixes = ["", "language_model."]
  /// The name between the prefix and the number of a layer, in a checkpoint and in GGUF.
  package var layers = (module: "layers", gguf: "blk")
  /// What llama.cpp fixes, ignores or reads in a GGUF file.
  package var gguf = GGUFConventions()
  /// What the family assumes if a key is missing.
  package var defaults = FamilyDefaults()
  /// Keys that `describe` reads.
  package var understoodKeys: Set<String> = []
  /// Keys that the family ignores although they mean something in other families.
  package var ignoredKeys: Set<String> = []
  /// What mlx-lm's program of the family computes.
  package var mlx = MLXProgram()
  /// Describes the model of a configuration.
  package let describe: @Sendable (DecoderSizes, ConfigurationKeys) throws(FormatError) -> ModelDescription

  /// Joins the names of a family with its description.
  package init(
    modelType: String, className: String, ggufArchitecture: String,
    describe:
      @escaping @Sendable (DecoderSizes, ConfigurationKeys) throws(FormatError) -> ModelDescription
  ) {
    self.modelType = modelType
    self.className = className
    self.ggufArchitecture = ggufArchitecture
    self.describe = describe
  }

  /// The supported families.
  package static let all: [ModelFamily] = [
    .llama, .mistral, .ministral3, .mixtral, .qwen2, .qwen3, .qwen3Moe, .qwen3_5, .qwen3_5Moe,
    .gemma, .gemma2, .gemma3, .gemma4, .phi3, .smollm3, .granite, .olmo2, .olmo3, .glm4, .cohere2,
    .starcoder2, .gptNeoX, .gptOss, .lfm2,
  ]

  package static func == (first: ModelFamily, second: ModelFamily) -> Bool {
    first.modelType == second.modelType
  }

  /// The family of a `model_type`, or nil when it is not supported.
  package static func named(_ modelType: String) -> ModelFamily? {
    all.first { $0.modelType == modelType }
  }
}
