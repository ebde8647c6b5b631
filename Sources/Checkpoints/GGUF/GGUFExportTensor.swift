import Kernels

/// A tensor of a GGUF file, and the tensors of the checkpoint that it is made of.
struct GGUFExportTensor: Sendable, Equatable {
  /// How the checkpoint holds it.
  enum Storage: Sendable, Equatable {
    case dense(TensorInfo)
    case packed(QuantizedLayout, codes: TensorInfo, scales: TensorInfo, biases: TensorInfo)
  }

  /// The name in the GGUF file.
  let name: String
  /// The module in the checkpoint.
  let module: String
  /// `[columns]` of a norm, `[rows, columns]` of a matrix.
  let shape: [Int]
  /// Which row stands where.
  let order: GGUFRowOrder
  /// Whether it is a linear of a layer, whose type can be chosen.
  let isLinear: Bool
  /// How the checkpoint holds it.
  let storage: Storage

  /// The tensors of the checkpoint, in the order in which they are written.
  var sources: [TensorInfo] {
    switch storage {
    case .dense(let tensor): [tensor]
    case .packed(_, let codes, let scales, let biases): [codes, scales, biases]
    }
  }

  /// The number of weights.
  var elementCount: Int { shape.reduce(1, *) }

  /// The rows to be encoded, from the bytes of the sources.
  func rows(_ bytes: [TensorBytes]) -> GGUFEncodingRows {
    let columnCount = shape[shape.count - 1]
    let storage: GGUFEncodingRows.Storage =
      switch storage {
      case .dense(let tensor): .dense(bytes[0], Self.format(of: tensor))
      case .packed(let parameters, _, let scales, let biases):
        .packed(
          codes: bytes[0], parameters, scales: Self.floats(bytes[1], of: scales),
          biases: Self.floats(bytes[2], of: biases))
      }
    return GGUFEncodingRows(
      rowCount: elementCount / columnCount, columnCount: columnCount, storage: storage)
  }

  /// The values of a tensor of floats.
  static func floats(_ bytes: TensorBytes, of tensor: TensorInfo) -> [Float] {
    bytes.withSpan { widened($0, from: format(of: tensor)) }
  }

  private static func format(of tensor: TensorInfo) -> FloatFormat {
    guard let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("'\(tensor.name)' is \(tensor.dtype.rawValue)")
    }
    return format
  }
}

extension GGUFExportModel {
  /// A tensor that a Llama model has.
  private struct Slot {
    let name: String
    let module: String
    let shape: [Int]
    var order = GGUFRowOrder.plain
    var isLinear = false
  }

  private var slots: [Slot] {
    let head = [
      Slot(name: "token_embd", module: "model.embed_tokens", shape: [vocabularySize, embeddingLength])
    ]
    let tail = [Slot(name: "output_norm", module: "model.norm", shape: [embeddingLength])]
    let output = Slot(name: "output", module: "lm_head", shape: [vocabularySize, embeddingLength])
    return head + (0..<blockCount).flatMap(slots(ofLayer:)) + tail + (tiesEmbeddings ? [] : [output])
  }

  private func slots(ofLayer layer: Int) -> [Slot] {
    let (width, inner) = (embeddingLength, feedForwardLength)
    let (queries, keys) = (headCount * headSize, keyValueHeadCount * headSize)
    let pairs = GGUFRowOrder.interleaved(rowsPerHead: headSize)
    func linear(_ name: String, _ module: String, _ rows: Int, _ columns: Int, _ order: GGUFRowOrder = .plain)
      -> Slot
    {
      Slot(
        name: "blk.\(layer).\(name)", module: "model.layers.\(layer).\(module)", shape: [rows, columns],
        order: order,
        isLinear: true)
    }
    func norm(_ name: String, _ module: String) -> Slot {
      Slot(name: "blk.\(layer).\(name)", module: "model.layers.\(layer).\(module)", shape: [width])
    }
    return [
      norm("attn_norm", "input_layernorm"),
      linear("attn_q", "self_attn.q_proj", queries, width, pairs),
      linear("attn_k", "self_attn.k_proj", keys, width, pairs),
      linear("attn_v", "self_attn.v_proj", keys, width),
      linear("attn_output", "self_attn.o_proj", width, queries),
      norm("ffn_norm", "post_attention_layernorm"),
      linear("ffn_gate", "mlp.gate_proj", inner, width),
      linear("ffn_up", "mlp.up_proj", inner, width),
      linear("ffn_down", "mlp.down_proj", width, inner),
    ]
  }

  /// The tensors of the GGUF file, in its order, found among those of a checkpoint.
  ///
  /// - Parameters:
  ///   - contents: The checkpoint.
  ///   - path: The path for errors.
  /// - Returns: The tensors, layer by layer.
  /// - Throws: `FormatError` when a tensor is missing or has another shape, and `.notExact` for one that has no place.
  func tensors(of contents: CheckpointContents, path: String) throws(FormatError) -> [GGUFExportTensor] {
    var left = Dictionary(contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var tensors: [GGUFExportTensor] = []
    func take(_ part: ModuleTensor, _ module: String) throws(FormatError) -> TensorInfo {
      guard let tensor = left.removeValue(forKey: part.name(of: module)) else {
        throw FormatError(path, .missing("tensor '\(part.name(of: module))'"))
      }
      return tensor
    }
    for slot in slots {
      let weight = try take(.weight, slot.module)
      let storage: GGUFExportTensor.Storage
      var shape = weight.shape
      if let parameters = contents.quantization[slot.module] {
        storage = .packed(
          parameters, codes: weight, scales: try take(.scales, slot.module),
          biases: try take(.biases, slot.module))
        shape = parameters.shape(ofStored: weight)
      } else {
        storage = .dense(weight)
        guard weight.dtype.isWeight else {
          throw FormatError(
            path, at: "tensor '\(weight.name)'", .notExact("GGUF has no tensors of \(weight.dtype.rawValue)"))
        }
      }
      guard shape == slot.shape else {
        throw FormatError(
          path, at: "tensor '\(weight.name)'", .shape(expected: slot.shape, found: shape))
      }
      tensors.append(
        GGUFExportTensor(
          name: slot.name + ".weight", module: slot.module, shape: shape, order: slot.order,
          isLinear: slot.isLinear, storage: storage))
    }
    if let other = left.keys.min(by: precedes) { throw Self.homeless(other, path) }
    return tensors
  }

  private static func homeless(_ name: String, _ path: String) -> FormatError {
    let reason =
      ModuleTensor.part(of: name)?.isBesideWeight == true
      ? "GGUF holds no adapters and no trained changes beside the weights; 'rilq merge' folds them in"
      : "has no place in the GGUF file of a Llama model"
    return FormatError(path, at: "tensor '\(name)'", .notExact(reason))
  }
}
