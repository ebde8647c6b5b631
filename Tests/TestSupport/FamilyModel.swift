package import Checkpoints
import Kernels
import Models

/// A checkpoint of small layers of any family with random weights, made in code.
///
/// Its tokenizer is that of `Fixtures/tiny-llama`, which has 1024 tokens.
package struct FamilyModel: Sendable {
  /// The contents of `config.json`.
  package var configuration: JSONValue
  /// The dtype of every tensor.
  package var dtype = DType.f32
  /// Tensors that the model does not need, by name; their values are random.
  package var others: [TensorInfo] = []
  /// The prefix of all tensors except the head.
  package var prefix = "model."
  /// The seed of the weights.
  package var seed: UInt64 = 1

  /// Takes the contents of `config.json`.
  package init(_ configuration: String) throws {
    self.configuration = try JSONValue(parsing: Array(configuration.utf8))
  }

  /// The tensors that the configuration describes.
  private func tensors() throws -> [TensorInfo] {
    let configuration = try ModelConfiguration(configuration, path: "config.json")
    let prefix = prefix
    let layout = ModelLayout(configuration) {
      $0.hasPrefix(prefix) || $0.hasPrefix(configuration.description.head.module)
    }
    let model = Array(layout.bodyTensors) + (configuration.tiesEmbeddings ? [] : [layout.head])
    return model.flatMap { tensor in
      let weight = TensorInfo(name: tensor.name, dtype: dtype, shape: tensor.shape)
      let bias = TensorInfo(name: tensor.biasName, dtype: dtype, shape: [tensor.shape[0]])
      return tensor.slot.hasBias ? [weight, bias] : [weight]
    } + others
  }

  /// Writes the checkpoint as a folder.
  ///
  /// - Parameters:
  ///   - path: The folder to make.
  ///   - edit: Gets the name and the values of each tensor before they are rounded and written.
  /// - Returns: The checkpoint, open.
  /// - Throws: `FormatError` when the configuration is refused or the folder cannot be written.
  @discardableResult
  package func write(
    to path: String, editing edit: (String, inout [Float]) -> Void = { _, _ in }
  ) throws -> Checkpoint {
    let assets = [
      ("config.json", Array(configuration.prettyText.utf8)), ("tokenizer.json", try TinyModel.tokenizer()),
    ]
    let contents = CheckpointContents(
      tensors: try tensors(), assets: assets.map { Asset(name: $0.0, byteCount: $0.1.count) })
    let writer = try SafetensorsFolderWriter(contents, folder: path)
    var random = SplitMix64(seed: seed)
    for tensor in contents.tensors {
      var values = Self.initialValues(of: tensor, &random)
      edit(tensor.name, &values)
      try TensorBytes(values, as: dtype).withSpan { try writer.write(tensor, $0) }
    }
    for (asset, bytes) in zip(contents.assets, assets) {
      try TensorBytes(bytes.1).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: path)
  }

  /// Vectors near 1, and matrices that keep the size of their input.
  private static func initialValues(of tensor: TensorInfo, _ random: inout SplitMix64) -> [Float] {
    let isVector = tensor.shape.count == 1
    let size: Float = isVector ? 0.3 : 2 / Float(tensor.shape[tensor.shape.count - 1]).squareRoot()
    return (0..<tensor.elementCount).map { _ in
      (isVector ? 0.8 : 0) + Float.random(in: -size...size, using: &random)
    }
  }
}

extension FamilyModel {
  /// Qwen 3.5 as published: the text part beside a vision tower and layers for further tokens.
  package static func qwen3_5(_ change: (inout FamilyModel) -> Void = { _ in }) throws -> FamilyModel {
    var model = try FamilyModel(
      """
      {"model_type": "qwen3_5", "tie_word_embeddings": true, "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 1024,
        "max_position_embeddings": 512, "full_attention_interval": 2, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4, "eos_token_id": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.25,
          "mrope_section": [2, 1, 1]}}}
      """)
    model.prefix = "model.language_model."
    model.others = [
      TensorInfo(name: "model.visual.layers.0.proj.weight", dtype: .f32, shape: [64, 64]),
      TensorInfo(name: "mtp.layers.0.mlp.up_proj.weight", dtype: .f32, shape: [64, 64]),
    ]
    change(&model)
    return model
  }

  /// LFM2 with a convolution and an attention layer.
  package static func lfm2(bias: Bool = false) throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "lfm2", "hidden_size": 64, "block_ff_dim": 96, "block_multiple_of": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024,
        "max_position_embeddings": 512, "full_attn_idxs": [1], "conv_L_cache": 3, "conv_bias": \(bias),
        "eos_token_id": 1}
      """)
  }

  /// Gemma 4 with a windowed layer and one that sees the whole context, whose keys are its values.
  package static func gemma4() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 32,
        "num_global_key_value_heads": 1, "attention_k_eq_v": true, "vocab_size": 1024,
        "max_position_embeddings": 512, "sliding_window": 7, "hidden_size_per_layer_input": 0,
        "layer_types": ["sliding_attention", "full_attention"], "final_logit_softcapping": 20,
        "eos_token_id": 1}
      """)
  }

  /// Gemma 4 whose layers get inputs beside the stream, the last three without keys and values of their own.
  package static func connectedGemma4() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 5,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "global_head_dim": 32,
        "num_kv_shared_layers": 3, "use_double_wide_mlp": true, "vocab_size": 1024,
        "vocab_size_per_layer_input": 1024, "max_position_embeddings": 512, "sliding_window": 7,
        "hidden_size_per_layer_input": 32, "final_logit_softcapping": 20, "eos_token_id": 1,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention",
          "full_attention"]}
      """)
  }
}
