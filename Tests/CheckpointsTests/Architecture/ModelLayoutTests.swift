import Checkpoints
import TestSupport
import Testing

@Suite struct ModelLayoutTests {
  private let folder: TemporaryFolder
  private let model: Checkpoint

  init() throws {
    folder = try TemporaryFolder()
    model = try TinyModel().write(to: folder.path("model"))
  }

  @Test func `names every tensor of a checkpoint, with its shape`() throws {
    let layout = try ModelLayout(of: model)
    let tensors = Array(layout.bodyTensors) + [layout.head]
    let shapes = Dictionary(uniqueKeysWithValues: model.contents.tensors.map { ($0.name, $0.shape) })
    #expect(Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }) == shapes)
    #expect(tensors.map(\.gguf)[..<4] == ["token_embd", "blk.0.attn_norm", "blk.0.attn_q", "blk.0.attn_k"])
  }

  @Test func `says which norm a linear reads`() throws {
    let norms = try ModelLayout(of: model).layer(1).map { [$0.slot.module, $0.norm ?? ""] }
    let (first, second) = ("model.layers.1.input_layernorm", "model.layers.1.post_attention_layernorm")
    #expect(
      norms == [
        ["input_layernorm", ""], ["self_attn.q_proj", first], ["self_attn.k_proj", first],
        ["self_attn.v_proj", first], ["self_attn.o_proj", ""], ["post_attention_layernorm", ""],
        ["mlp.gate_proj", second], ["mlp.up_proj", second], ["mlp.down_proj", ""],
      ])
  }

  @Test(arguments: [
    ("model.layers.0.mlp.up_proj", true), ("model.layers.1.self_attn.o_proj", true),
    ("model.layers.2.mlp.up_proj", false), ("model.layers.01.mlp.up_proj", false),
    ("model.layers.0.input_layernorm", false), ("model.embed_tokens", false), ("lm_head", false),
    ("vision.layers.0.mlp.up_proj", false), ("model.layers.0.mlp.router", false),
  ])
  func `knows the linears of the layers`(module: String, expected: Bool) throws {
    #expect(try ModelLayout(of: model).isLayerLinear(module) == expected)
  }

  @Test func `a layer too many is the first tensor that is missing`() throws {
    let more = try model.writeFolder(to: folder.path("more")) {
      $0.configuration["num_hidden_layers"] = .integer(4096)
    }
    let layout = try ModelLayout(of: more)
    #expect(throws: FormatError(more.path, .missing("tensor 'model.layers.2.input_layernorm.weight'"))) {
      try layout.requireTensors(in: more)
    }
  }

  @Test(arguments: [
    ("model.", "", ""), ("language_model.model.", "language_model.", "language_model."),
    ("language_model.model.", "", "language_model."), ("model.language_model.", "", ""),
  ])
  func `the head is where the checkpoint has it, and a new one is beside the model`(
    prefix: String, headPrefix: String, newHeadPrefix: String
  ) throws {
    let configuration = try ModelConfiguration(of: model)
    let names = [prefix + "embed_tokens.weight", headPrefix + "lm_head.weight"]
    let layout = ModelLayout(configuration) { names.contains($0) }
    #expect(layout.prefix == prefix)
    #expect(layout.headPrefix == headPrefix)
    #expect(ModelLayout(configuration) { $0 == names[0] }.headPrefix == newHeadPrefix)
  }

  @Test func `a checkpoint without the prefix has its names, and gets the usual ones`() throws {
    let bare = try model.writeFolder(to: folder.path("bare")) {
      $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 }
    }
    let layout = try ModelLayout(of: bare)
    #expect(layout.prefix.isEmpty)
    try layout.requireTensors(in: bare)
    #expect(layout.isLayerLinear("layers.0.mlp.up_proj"))
    let usual = try bare.withUsualNames()
    #expect(usual.contents.tensors.count == model.contents.tensors.count)
    for tensor in model.contents.tensors {
      #expect(usual.tensor(named: tensor.name) == tensor)
      #expect(try usual.copiedBytes(of: tensor.name) == model.copiedBytes(of: tensor.name))
    }
  }
}

@Suite struct OutputHeadTests {
  private let folder: TemporaryFolder
  private let model: Checkpoint

  init() throws {
    folder = try TemporaryFolder()
    model = try TinyModel().write(to: folder.path("model"))
  }

  private func head(of checkpoint: Checkpoint) throws -> OutputHead {
    try ModelLayout(of: checkpoint).outputHead(in: checkpoint)
  }

  @Test func `a head of other values beside tied embeddings is the head, and a sentence says so`() throws {
    let different = try model.writeFolder(to: folder.path("different")) { $0.tieEmbeddings() }
    #expect(try head(of: different) == .own)
    let notices = different.notices
    #expect(notices.count == 1)
    #expect(notices.first?.contains("'tie_word_embeddings'") == true)
    #expect(notices.first?.contains("'lm_head.weight'") == true)
    #expect(try model.notices == [] && head(of: model) == .own)
  }

  @Test func `a head equal to the embedding byte for byte is the embedding`() throws {
    let embedding = try #require(model.tensor(named: "model.embed_tokens.weight"))
    var bytes = try model.copiedBytes(of: embedding.name)
    let equal = try model.writeFolder(to: folder.path("equal")) {
      $0.tieEmbeddings(beside: bytes, like: embedding)
    }
    #expect(try head(of: equal) == .embedding)
    #expect(equal.notices == [])
    #expect(try ModelLayout(of: equal).redundantTensors(in: equal) == ["lm_head.weight"])
    bytes[bytes.count - 1] ^= 1
    let nearly = try model.writeFolder(to: folder.path("nearly")) {
      $0.tieEmbeddings(beside: bytes, like: embedding)
    }
    #expect(try head(of: nearly) == .own)
    #expect(try ModelLayout(of: nearly).redundantTensors(in: nearly) == [])
  }

  @Test func `without a head the embedding is it`() throws {
    let tied = try TinyModel { $0.tiesEmbeddings = true }.write(to: folder.path("tied"))
    #expect(try head(of: tied) == .embedding)
    #expect(tied.notices == [])
  }

  @Test(arguments: [DType.f32, .bf16, .f16])
  func `rotary frequencies that follow from the configuration say nothing new`(dtype: DType) throws {
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    func frequencies(_ factor: Float) throws -> Checkpoint {
      let layout = try ModelLayout(of: model)
      let size = layout.configuration.headSize
      let rotary = layout.configuration.rotaryDescriptions[0].parameters
      let values = rotary.frequencies(headSize: size).map { $0 * factor }
      return try model.writeFolder(to: folder.path("frequencies-\(factor)")) {
        $0.added = [
          (
            TensorInfo(name: name, dtype: dtype, shape: [size / 2]),
            TensorBytes(values, as: dtype).withSpan { $0.copiedBytes() }
          )
        ]
      }
    }
    let same = try frequencies(1)
    #expect(try ModelLayout(of: same).redundantTensors(in: same) == [name])
    let other = try frequencies(0.5)
    #expect(try ModelLayout(of: other).redundantTensors(in: other) == [])
  }
}
