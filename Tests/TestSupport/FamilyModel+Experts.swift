package import Checkpoints
import Kernels
import Models

extension FamilyModel {
  /// Mixtral with four experts, two for each token.
  package static func mixtral() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024, "sliding_window": null,
        "max_position_embeddings": 512, "num_local_experts": 4, "num_experts_per_tok": 2, "eos_token_id": 1,
        "tie_word_embeddings": true}
      """)
  }

  /// Qwen 3 with a dense layer and one with five experts, whose weights for a token do not add up to 1.
  package static func qwen3Moe() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "vocab_size": 1024, "max_position_embeddings": 512, "num_experts": 5, "num_experts_per_tok": 3,
        "norm_topk_prob": false, "mlp_only_layers": [0], "decoder_sparse_step": 1, "eos_token_id": 1,
        "tie_word_embeddings": true}
      """)
  }

  /// Qwen 3.5 with three experts and one that every token uses.
  package static func qwen3_5Moe() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "qwen3_5_moe_text", "hidden_size": 64, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 1024, "max_position_embeddings": 512,
        "full_attention_interval": 2, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4,
        "num_experts": 3, "num_experts_per_tok": 2, "eos_token_id": 1, "tie_word_embeddings": true,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.25}}
      """)
  }

  /// gpt-oss with four experts, two for each token; each expert has tensors of its own.
  package static func gptOss() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1024,
        "max_position_embeddings": 512, "sliding_window": 7, "num_local_experts": 4, "num_experts_per_tok": 2,
        "eos_token_id": 1, "tie_word_embeddings": false,
        "layer_types": ["sliding_attention", "full_attention"]}
      """)
  }

  /// Gemma 4 with four experts beside the feed-forward part, two for each token.
  package static func gemma4Moe() throws -> FamilyModel {
    try FamilyModel(
      """
      {"model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
        "global_head_dim": 32, "num_global_key_value_heads": 1, "attention_k_eq_v": true, "vocab_size": 1024,
        "max_position_embeddings": 512, "sliding_window": 7, "hidden_size_per_layer_input": 0,
        "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2, "final_logit_softcapping": 20,
        "layer_types": ["sliding_attention", "full_attention"], "eos_token_id": 1}
      """)
  }
}

extension Checkpoint {
  /// Writes a folder with the experts of each layer in the tensors that families publish.
  ///
  /// - Parameters:
  ///   - path: The folder to make.
  ///   - module: The module of the experts in a layer.
  ///   - expertCount: The number of experts.
  ///   - isTransposed: Whether the tensors are those of gpt-oss: transposed, gate and up in turn, with biases.
  /// - Returns: The copy, open.
  /// - Throws: `FormatError` when a tensor is missing or the folder cannot be written.
  package func fusingExperts(
    to path: String, module: String = "mlp.experts", count expertCount: Int, isTransposed: Bool
  ) throws -> Checkpoint {
    let first = ".\(module).0.gate_proj.weight"
    let layers = contents.tensors.map(\.name).filter { $0.hasSuffix(first) }.map { $0.dropLast(first.count) }
    var added: [(TensorInfo, [UInt8])] = []
    for layer in layers {
      let experts = try (0..<expertCount).map { expert in
        try FusedExpert(of: self, module: "\(layer).\(module).\(expert)", hasBias: isTransposed)
      }
      added += experts.fused(below: "\(layer).\(module).", isTransposed: isTransposed)
    }
    return try writeFolder(to: path) { changes in
      changes.rename = { $0.contains(".\(module).") ? nil : $0 }
      changes.added = added
    }
  }
}

/// The values of one expert.
private struct FusedExpert {
  let gate: Matrix
  let up: Matrix
  let down: Matrix
  /// Those of gate, up and down; empty without biases.
  let biases: [[Float]]

  init(of checkpoint: Checkpoint, module: String, hasBias: Bool) throws {
    let matrices = try ["gate_proj", "up_proj", "down_proj"].map { name in
      let name = "\(module).\(name).weight"
      let shape = checkpoint.tensor(named: name)?.shape ?? [0, 0]
      return Matrix(rows: shape[0], columns: shape[1], values: try checkpoint.floats(of: name))
    }
    (gate, up, down) = (matrices[0], matrices[1], matrices[2])
    biases = try (hasBias ? ["gate_proj", "up_proj", "down_proj"] : []).map {
      try checkpoint.floats(of: "\(module).\($0).bias")
    }
  }
}

extension [FusedExpert] {
  fileprivate func fused(below module: String, isTransposed: Bool) -> [(TensorInfo, [UInt8])] {
    let (inside, stream) = (self[0].gate.rowCount, self[0].gate.columnCount)
    func tensor(_ name: String, _ shape: [Int], _ values: [Float]) -> (TensorInfo, [UInt8]) {
      (TensorInfo(name: module + name, dtype: .f32, shape: [count] + shape), narrowed(values, to: .f32))
    }
    guard isTransposed else {
      return [
        tensor("gate_up_proj", [2 * inside, stream], flatMap { $0.gate.values + $0.up.values }),
        tensor("down_proj", [stream, inside], flatMap(\.down.values)),
      ]
    }
    var (both, down): ([Float], [Float]) = ([], [])
    for expert in self {
      for column in 0..<stream {
        for row in 0..<inside {
          both += [expert.gate.values[row * stream + column], expert.up.values[row * stream + column]]
        }
      }
      for column in 0..<inside {
        for row in 0..<stream { down.append(expert.down.values[row * inside + column]) }
      }
    }
    return [
      tensor("gate_up_proj", [stream, 2 * inside], both),
      tensor(
        "gate_up_proj_bias", [2 * inside], flatMap { zip($0.biases[0], $0.biases[1]).flatMap { [$0, $1] } }),
      tensor("down_proj", [inside, stream], down),
      tensor("down_proj_bias", [stream], flatMap { $0.biases[2] }),
    ]
  }
}
