package import Checkpoints
import Kernels
import Models

/// A Llama checkpoint of small layers with random weights, made in code.
///
/// Its tokenizer is that of `Fixtures/tiny-llama`, so the vocabulary has 1024 tokens unless another size is
/// set.
package struct TinyModel: Sendable {
  /// The width of the residual stream.
  package var hiddenSize = 128
  /// The width inside the feed-forward part.
  package var intermediateSize = 128
  /// The number of decoder layers.
  package var layerCount = 2
  /// The number of query heads; two of them share a key and value head.
  package var headCount = 4
  /// The rows of the embedding.
  package var vocabularySize = 1024
  /// Whether the output head is the embedding.
  package var tiesEmbeddings = false
  /// The dtype of every tensor: f32, f16 or bf16.
  package var dtype = DType.bf16
  /// The maximum bytes of tensors per shard; a small number makes several shards.
  package var shardByteLimit = 1 << 30
  /// The seed of the weights.
  package var seed: UInt64 = 1

  /// A model with values that differ from the defaults.
  package init(_ change: (inout TinyModel) -> Void = { _ in }) { change(&self) }

  /// The tensors in the order of a Hugging Face checkpoint.
  package var tensors: [TensorInfo] {
    let headSize = hiddenSize / headCount
    var list = [matrix("model.embed_tokens", vocabularySize, hiddenSize)]
    for layer in 0..<layerCount {
      let prefix = "model.layers.\(layer)."
      list += [
        vector(prefix + "input_layernorm"),
        matrix(prefix + "self_attn.q_proj", hiddenSize, hiddenSize),
        matrix(prefix + "self_attn.k_proj", headCount / 2 * headSize, hiddenSize),
        matrix(prefix + "self_attn.v_proj", headCount / 2 * headSize, hiddenSize),
        matrix(prefix + "self_attn.o_proj", hiddenSize, hiddenSize),
        vector(prefix + "post_attention_layernorm"),
        matrix(prefix + "mlp.gate_proj", intermediateSize, hiddenSize),
        matrix(prefix + "mlp.up_proj", intermediateSize, hiddenSize),
        matrix(prefix + "mlp.down_proj", hiddenSize, intermediateSize),
      ]
    }
    list.append(vector("model.norm"))
    if !tiesEmbeddings { list.append(matrix("lm_head", vocabularySize, hiddenSize)) }
    return list
  }

  /// Writes the checkpoint as a folder.
  ///
  /// - Parameters:
  ///   - path: The folder to make.
  ///   - edit: Gets the name and the values of each tensor before they are rounded and written.
  /// - Returns: The checkpoint, open.
  /// - Throws: `FormatError` when it cannot be written.
  @discardableResult
  package func write(
    to path: String, editing edit: (String, inout [Float]) -> Void = { _, _ in }
  ) throws -> Checkpoint {
    let assets = [
      ("config.json", Array(configuration.prettyText.utf8)), ("tokenizer.json", try Self.tokenizer()),
    ]
    let contents = CheckpointContents(
      tensors: tensors, assets: assets.map { Asset(name: $0.0, byteCount: $0.1.count) })
    let writer = try SafetensorsFolderWriter(contents, folder: path, shardByteLimit: shardByteLimit)
    var random = SplitMix64(seed: seed)
    for tensor in contents.tensors {
      var values = initialValues(of: tensor, &random)
      edit(tensor.name, &values)
      try TensorBytes(values, as: dtype).withSpan { try writer.write(tensor, $0) }
    }
    for (asset, bytes) in zip(contents.assets, assets) {
      try TensorBytes(bytes.1).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    return try Checkpoint.open(path: path)
  }

  static func tokenizer() throws -> [UInt8] {
    let file = try MappedFile(path: Fixtures.path("tiny-llama/tokenizer.json"))
    return file.withBytes(in: 0..<file.byteCount) { $0.copiedBytes() }
  }

  private func matrix(_ module: String, _ rows: Int, _ columns: Int) -> TensorInfo {
    TensorInfo(name: module + ".weight", dtype: dtype, shape: [rows, columns])
  }

  private func vector(_ module: String) -> TensorInfo {
    TensorInfo(name: module + ".weight", dtype: dtype, shape: [hiddenSize])
  }

  /// Norms near 1, and matrices that keep the size of their input.
  private func initialValues(of tensor: TensorInfo, _ random: inout SplitMix64) -> [Float] {
    let isNorm = tensor.shape.count == 1
    let size: Float = isNorm ? 0.1 : 3 / Float(tensor.shape[1]).squareRoot()
    return (0..<tensor.elementCount).map { _ in
      (isNorm ? 1 : 0) + Float.random(in: -size...size, using: &random)
    }
  }

  private var configuration: JSONValue {
    .object([
      JSONValue.Member("model_type", .string("llama")),
      JSONValue.Member("hidden_size", .integer(hiddenSize)),
      JSONValue.Member("intermediate_size", .integer(intermediateSize)),
      JSONValue.Member("num_hidden_layers", .integer(layerCount)),
      JSONValue.Member("num_attention_heads", .integer(headCount)),
      JSONValue.Member("num_key_value_heads", .integer(headCount / 2)),
      JSONValue.Member("vocab_size", .integer(vocabularySize)),
      JSONValue.Member("max_position_embeddings", .integer(512)),
      JSONValue.Member("rms_norm_eps", .double(1e-5)),
      JSONValue.Member("rope_theta", .double(10_000)),
      JSONValue.Member("tie_word_embeddings", .bool(tiesEmbeddings)),
    ])
  }
}

extension TensorBytes {
  /// Rounds floats to a dtype of floats.
  package init(_ values: [Float], as dtype: DType) {
    guard let format = FloatFormat(dtype) else { preconditionFailure("\(dtype.rawValue) is no float") }
    self.init(narrowed(values, to: format))
  }
}
