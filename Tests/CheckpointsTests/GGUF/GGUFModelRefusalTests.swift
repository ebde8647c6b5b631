import Checkpoints
import TestSupport
import Testing

/// Sound files whose model is of a kind that is not read, or is not whole.
struct GGUFModelRefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let message: String

    init(_ message: String, _ change: @escaping (inout GGUFBytes) -> Void) {
      testDescription = message
      bytes = GGUFModel { $0.change = change }.file.bytes
      self.message = message
    }
  }

  private static func setting(_ key: String, _ value: GGUFValue) -> (inout GGUFBytes) -> Void {
    { file in
      file.keys.removeAll { $0.key == Array(key.utf8) }
      file.add(key, value)
    }
  }

  private static func renaming(_ old: String, _ new: String) -> (inout GGUFBytes) -> Void {
    { file in
      for i in file.tensors.indices where file.tensors[i].name == Array(old.utf8) {
        file.tensors[i].name = Array(new.utf8)
      }
    }
  }

  private static func without(_ key: String) -> (inout GGUFBytes) -> Void {
    { file in file.keys.removeAll { $0.key == Array(key.utf8) } }
  }

  static let models = [
    Case("key 'general.architecture' is missing", without("general.architecture")),
    Case(
      "key 'general.architecture': … 'bert' … llama …",
      setting("general.architecture", .string("bert"))),
    Case("key 'general.architecture': is not a text", setting("general.architecture", .uint32(1))),
    Case("key 'general.type': 'adapter' is not a model", setting("general.type", .string("adapter"))),
    Case("key 'split.count': … one of 3 files …", setting("split.count", .uint16(3))),
    Case("key 'llama.expert_used_count' is missing", setting("llama.expert_count", .uint32(8))),
    Case(
      "key 'llama.attention.sliding_window': a model with this key is not supported",
      setting("llama.attention.sliding_window", .uint32(64))),
    Case(
      "key 'llama.tensor_data_layout': … 'reference' …",
      setting("llama.tensor_data_layout", .string("reference"))),
    Case("key 'llama.block_count' is missing", without("llama.block_count")),
    Case("key 'llama.block_count': is not an integer", setting("llama.block_count", .string("1"))),
    Case("key 'llama.block_count': 0 is not from 1 to 2^24", setting("llama.block_count", .uint32(0))),
    Case(
      "key 'llama.block_count': 4097 is not from 1 to 4096", setting("llama.block_count", .uint32(4097))),
    Case(
      "key 'llama.attention.head_count': 3 does not divide the width 256",
      setting("llama.attention.head_count", .uint32(3))),
    Case(
      "key 'llama.attention.value_length': … 64 … 128",
      setting("llama.attention.value_length", .uint32(64))),
    Case(
      "key 'llama.rope.dimension_count': … 64 … 128",
      setting("llama.rope.dimension_count", .uint32(64))),
    Case(
      "key 'llama.rope.scaling.type': … 'longrope' …",
      setting("llama.rope.scaling.type", .string("longrope"))),
    Case("key 'llama.rope.scaling.factor' is missing", setting("llama.rope.scaling.type", .string("yarn"))),
    Case(
      "key 'qwen2.attention.sliding_window': a model with this key is not supported",
      { file in
        setting("general.architecture", .string("qwen2"))(&file)
        file.add("qwen2.attention.sliding_window", .uint32(64))
      }),
    Case(
      "tensor 'rope_factors_long.weight': … 'llama'",
      { $0.tensors.append(.init("rope_factors_long.weight", [1], [0, 0, 0x80, 0x3F])) }),
    Case(
      "key 'llama.rope.scaling.factor' is missing", setting("llama.rope.scaling.type", .string("linear"))),
    Case(
      "key 'llama.rope.freq_base': 0.5 is not more than 1", setting("llama.rope.freq_base", .float32(0.5))),
    Case(
      "tensor 'rope_freqs.weight': … Llama 3",
      { $0.tensors.append(.init("rope_freqs.weight", [1], [0, 0, 0x80, 0x3F])) }),
    Case("tensor 'blk.0.ffn_up.weight' is missing", renaming("blk.0.ffn_up.weight", "blk.0.ffn_up.bias")),
    Case("key 'rilq.metadata': is not an object", setting("rilq.metadata", .string("[1]"))),
    Case(
      "key 'rilq.metadata': is not JSON: byte 0: no value begins with this byte",
      setting("rilq.metadata", .string("?"))),
  ]

  @Test(arguments: models) func `refuses a model that would not be the same`(example: Case) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("x.gguf", example.bytes)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: path) }
    let text = error?.description ?? ""
    #expect(text.says(path + ": " + example.message), "\(text)")
  }

  @Test(arguments: [
    "blk.0.ffn_upp.weight", "blk.1.ffn_up.weight", "blk.00.ffn_up.weight", "blk.0.ffn_up",
    "blk.0.attn_norm.bias",
    "token_embd.bias", "rope_freqs.weightx", "blk.0.ffn_up.weight.weight", "v.blk.0.ffn_up.weight",
  ])
  func `refuses a tensor that belongs to no module`(name: String) throws {
    let folder = try TemporaryFolder()
    let bytes = GGUFModel { $0.change = Self.renaming("blk.0.ffn_up.weight", name) }.file.bytes
    let path = try folder.write("x.gguf", bytes)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: path) }
    #expect(error?.place == "tensor '\(name)'")
    #expect(error?.problem == .unsupported("no such tensor is known in architecture 'llama'"))
  }

  @Test func `refuses queries that are not those of the heads`() throws {
    let folder = try TemporaryFolder()
    let bytes = GGUFModel {
      $0.change = { file in
        for i in file.tensors.indices where file.tensors[i].name == Array("blk.0.attn_q.weight".utf8) {
          file.tensors[i].dimensions = [512, 128]
        }
      }
    }.file.bytes
    let path = try folder.write("x.gguf", bytes)
    let error = #expect(throws: FormatError.self) { try Checkpoint.open(path: path) }
    #expect(error?.problem == .malformed("shape [128, 512] is not that of 2 heads of 128 rows"))
  }
}
