extension CheckpointContents {
  /// The group sizes that MLX has kernels for.
  static let groupSizesOfMLX: Set<Int> = [32, 64, 128]

  private static func isHeldByMLX(_ layout: QuantizedLayout) -> Bool {
    layout.isFree && groupSizesOfMLX.contains(layout.groupSize)
  }

  /// Checks that MLX's loaders read these tensors correctly; see `Formats/mlx.md`.
  ///
  /// - Parameter path: The path for errors.
  /// - Throws: `FormatError.notExact` with the tensor or module.
  package func validateForMLX(path: String) throws(FormatError) {
    for tensor in tensors where ModuleTensor.part(of: tensor.name)?.isBesideWeight == true {
      throw FormatError(
        path, at: "tensor '\(tensor.name)'",
        .notExact(
          "MLX loads no adapters and no trained changes beside the weights; 'rilq merge' folds them in"))
    }
    let embedding = ModuleTensor.weight.name(of: "embed_tokens")
    if tensors.contains(where: { $0.name == embedding }) {
      throw FormatError(
        path, at: "tensor '\(embedding)'",
        .notExact("MLX finds no tensors without the prefix '\(ModelFamily.llama.prefixes[0])'"))
    }
    for module in quantization.keys.sorted(by: precedes) {
      guard let layout = quantization[module], !Self.isHeldByMLX(layout) else { continue }
      let other = layout.superBlock.map { "\(layout.groupSize), which \($0.rawValue) has" }
      throw FormatError(
        path, at: "module '\(module)'",
        .notExact("MLX has groups of 32, 64 and 128 columns, not of \(other ?? "\(layout.groupSize)")"))
    }
  }

  /// The configuration, changed to state what MLX's loaders do not find in newer ones or would assume
  /// wrongly.
  ///
  /// - Parameters:
  ///   - configuration: The contents of `config.json`.
  ///   - path: The path of the file.
  /// - Returns: The changed contents; those of a family that is not understood get Llama's keys.
  func configurationForMLX(_ configuration: JSONValue, path: String) -> JSONValue {
    guard let model = try? ModelConfiguration(configuration, path: path) else {
      return plainConfigurationForMLX(configuration)
    }
    let program = model.family.mlx
    let layout = ModelLayout(model) { name in tensors.contains { $0.name == name } }
    let hasHead = tensors.contains { $0.name == layout.head.name }
    var result = configuration
    var text = configuration
    if model.isNested, let part = configuration["text_config"] {
      text = part
    } else if program.isNested, let wrapper = model.family.wrappers.first {
      result.set("model_type", to: .string(wrapper))
    } else {
      return model.keysForMLX(configuration, program, hasHead: hasHead)
    }
    result.set("text_config", to: model.keysForMLX(text, program, hasHead: hasHead))
    result.set("vocab_size", to: .integer(model.vocabularySize))
    return result
  }

  /// The configuration of a model of another family.
  private func plainConfigurationForMLX(_ configuration: JSONValue) -> JSONValue {
    var result = configuration
    func setIfMissing(_ key: String, _ value: JSONValue) {
      if result[key].map(\.isNull) ?? true { result.set(key, to: value) }
    }
    setIfMissing("model_type", .string("llama"))
    setIfMissing("rms_norm_eps", .double(1e-6))
    // MLX ties the embeddings by default and then ignores a head; transformers does not.
    if tensors.contains(where: { $0.name == ModuleTensor.weight.name(of: "lm_head") }) {
      result = result.withOwnHead
    }
    // Since version 5, transformers writes `rope_parameters`, which MLX's Llama does not read.
    let hasScaling = configuration["rope_scaling"]?.object?.isEmpty == false
    if !hasScaling, let rope = configuration["rope_parameters"], rope.object != nil {
      if let theta = rope["rope_theta"] { setIfMissing("rope_theta", theta) }
      if let type = rope["rope_type"]?.string, type != "default" { setIfMissing("rope_scaling", rope) }
    }
    return result
  }
}
