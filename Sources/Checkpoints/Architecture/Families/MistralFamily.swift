extension ModelFamily {
  /// Mistral: Llama without biases, with a window in every layer.
  package static let mistral: ModelFamily = {
    var family = ModelFamily(
      modelType: "mistral", className: "MistralForCausalLM", ggufArchitecture: "llama"
    ) { sizes, keys throws(FormatError) in
      let window = try keys.window(missing: 4096)
      return try llamaModel(sizes, keys, windows: [Int?](repeating: window, count: sizes.layerCount))
    }
    family.defaults.keyValueHeadCount = 8
    family.defaults.contextLength = 131_072
    family.understoodKeys = ["sliding_window"]
    family.ignoredKeys = ["layer_types", "use_sliding_window"]
    family.gguf.hasOwnHeadSize = true
    family.gguf.holdsDivisors = true
    family.mlx = MLXProgram {
      $0.windows = .layerTypes
      $0.biases = .none
    }
    return family
  }()

  /// Ministral 3: Llama whose queries grow with their position beyond the original context.
  package static let ministral3: ModelFamily = {
    var family = ModelFamily(
      modelType: "ministral3", className: "Ministral3ForCausalLM", ggufArchitecture: "mistral3"
    ) { sizes, keys throws(FormatError) in
      let window = try keys.window(missing: nil)
      let rope = ConfigurationKeys(
        json: try keys.optionalObject("rope_parameters") ?? .object([]), path: keys.path,
        prefix: keys.prefix + "rope_parameters.")
      var growth: RotaryDescription.QueryGrowth?
      if let beta = try rope.optionalNumber("llama_4_scaling_beta"), beta != 0 {
        let context = try rope.size("original_max_position_embeddings")
        growth = RotaryDescription.QueryGrowth(beta: beta, context: context)
      }
      return try llamaModel(
        sizes, keys, windows: [Int?](repeating: window, count: sizes.layerCount), queryGrowth: growth,
        understoodRotaryKeys: ["llama_4_scaling_beta"])
    }
    family.wrappers = ["mistral3"]
    family.defaults.keyValueHeadCount = 8
    family.defaults.epsilon = 1e-5
    family.defaults.contextLength = 262_144
    family.understoodKeys = ["sliding_window"]
    family.ignoredKeys = ["layer_types", "use_sliding_window"]
    family.gguf.hasOwnHeadSize = true
    family.gguf.holdsDivisors = true
    family.gguf.holdsQueryGrowth = true
    family.mlx = MLXProgram {
      $0.windows = .layerTypes
      $0.biases = .none
    }
    return family
  }()
}
