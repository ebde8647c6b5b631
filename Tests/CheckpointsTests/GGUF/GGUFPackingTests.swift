import Checkpoints
import Kernels
import TestSupport
import Testing

/// Modules that our own writer stored in a type that has room for more.
struct GGUFPackingTests {
  private let folder: TemporaryFolder
  private static let key = "rilq.quantization"

  init() throws { folder = try TemporaryFolder() }

  /// A model whose `ffn_up` has codes of few bits, with equal scales in groups.
  private func model(
    bits: Int, groupSize: Int, statement: String? = nil, edit: @escaping (inout [UInt8]) -> Void = { _ in }
  ) -> GGUFModel {
    GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" || $0 == "blk.0.attn_q.weight" ? .q4_1 : .bf16 }
      $0.change = { file in
        var modules: [String] = []
        for i in file.tensors.indices where file.tensors[i].type == GGUFTensorType.q4_1.rawValue {
          Self.restrict(&file.tensors[i].data, bits: bits, groupSize: groupSize)
          if file.tensors[i].name == Array("blk.0.ffn_up.weight".utf8) { edit(&file.tensors[i].data) }
        }
        for module in ["mlp.up_proj", "self_attn.q_proj"] {
          modules.append(#""model.layers.0.\#(module)":{"bits":\#(bits),"group_size":\#(groupSize)}"#)
        }
        file.add(Self.key, .string(statement ?? #"{"modules":{\#(modules.joined(separator: ","))}}"#))
      }
    }
  }

  private static func restrict(_ data: inout [UInt8], bits: Int, groupSize: Int) {
    let mask = UInt8(1 << bits - 1)
    for block in 0..<data.count / 20 {
      let leader = block * 32 / groupSize * groupSize / 32
      for i in 0..<4 { data[20 * block + i] = data[20 * leader + i] }
      for i in 4..<20 { data[20 * block + i] &= mask | mask << 4 }
    }
  }

  @Test(arguments: [2, 3, 4], [32, 64, 128])
  func `codes and tables come back`(bits: Int, groupSize: Int) throws {
    let model = model(bits: bits, groupSize: groupSize)
    let checkpoint = try model.open(in: folder)
    try checkpoint.contents.validateQuantization(path: "x.gguf")
    let module = "model.layers.0.mlp.up_proj"
    #expect(checkpoint.contents.quantization[module] == .init(bits: bits, groupSize: groupSize))
    #expect(checkpoint.tensor(named: module + ".biases")?.dtype == .f16)
    for (module, expected) in [
      (module, try model.values("blk.0.ffn_up.weight")),
      ("model.layers.0.self_attn.q_proj", model.reordered(try model.values("blk.0.attn_q.weight"), heads: 2)),
    ] {
      #expect(try checkpoint.unpackedWeights(of: module) == expected)
    }
  }

  private static func statement(_ rest: String) -> String {
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":64\#(rest)}}}"#
  }

  @Test func `tables come back as F32`() throws {
    let model = model(bits: 2, groupSize: 64, statement: Self.statement(#","tables":"F32""#))
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.tensor(named: "model.layers.0.mlp.up_proj.scales")?.dtype == .f32)
    #expect(
      try checkpoint.unpackedWeights(of: "model.layers.0.mlp.up_proj") == model.values("blk.0.ffn_up.weight"))
  }

  @Test func `tables come back as BF16 when they are such`() throws {
    let model = model(bits: 2, groupSize: 64, statement: Self.statement(#","tables":"BF16""#)) { data in
      // 1.5 and -0.25 in every block.
      for block in 0..<data.count / 20 {
        data.replaceSubrange(20 * block..<20 * block + 4, with: [0, 0x3E, 0, 0xB4])
      }
    }
    let checkpoint = try model.open(in: folder)
    #expect(try checkpoint.copiedBytes(of: "model.layers.0.mlp.up_proj.scales").prefix(2) == [0xC0, 0x3F])
    #expect(try checkpoint.copiedBytes(of: "model.layers.0.mlp.up_proj.biases").prefix(2) == [0x80, 0xBE])
  }

  @Test func `a grid that no type has is refused`() throws {
    let model = model(bits: 2, groupSize: 64, statement: Self.statement(#","grid":"portable""#))
    let error = #expect(throws: FormatError.self) { try model.open(in: folder) }
    #expect(error?.description.contains("portable") == true)
  }

  @Test func `tables that are no BF16 are refused`() throws {
    let model = model(bits: 2, groupSize: 64, statement: Self.statement(#","tables":"BF16""#)) { data in
      data[0] = 1
      data[20] = 1
    }
    let checkpoint = try model.open(in: folder)
    #expect(throws: FormatError.self) { try checkpoint.bytes(of: "model.layers.0.mlp.up_proj.scales") }
  }

  @Test func `a code with too many bits is refused`() throws {
    let checkpoint = try model(bits: 2, groupSize: 64) { $0[5] |= 4 }.open(in: folder)
    let error = #expect(throws: FormatError.self) {
      try checkpoint.bytes(of: "model.layers.0.mlp.up_proj.weight")
    }
    #expect(error?.problem == .malformed("row 0: a code does not fit 2 bits"))
  }

  @Test func `different scales in a group are refused`() throws {
    let checkpoint = try model(bits: 2, groupSize: 64) { $0[20] ^= 1 }.open(in: folder)
    let error = #expect(throws: FormatError.self) {
      try checkpoint.bytes(of: "model.layers.0.mlp.up_proj.scales")
    }
    #expect(
      error?.problem == .malformed("row 0: blocks 0 and 1 belong to one group but have different scales"))
  }

  @Test func `codes of 8 bits come back from Q8_0`() throws {
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? .q8_0 : .f16 }
      $0.change = {
        $0.add(
          Self.key,
          .string(#"{"modules":{"model.layers.0.mlp.up_proj":{"bits":8,"group_size":32,"tables":"F32"}}}"#))
      }
    }
    let checkpoint = try model.open(in: folder)
    #expect(
      try checkpoint.unpackedWeights(of: "model.layers.0.mlp.up_proj") == model.values("blk.0.ffn_up.weight"))
  }

  @Test func `floats come back in the dtype that is stated`() throws {
    let model = GGUFModel {
      $0.change = {
        $0.add(Self.key, .string(#"{"dtypes":{"model.norm.weight":"F16","lm_head.weight":"BF16"}}"#))
      }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.tensor(named: "model.norm.weight")?.dtype == .f16)
    #expect(checkpoint.tensor(named: "model.layers.0.input_layernorm.weight")?.dtype == .f32)
    #expect(
      try checkpoint.copiedBytes(of: "lm_head.weight") == narrowed(model.values("output.weight"), to: .bf16))
  }

  @Test func `blocks in a dtype that is stated are not called rounded`() throws {
    for isStated in [true, false] {
      let model = GGUFModel {
        $0.type = { $0 == "output.weight" ? .q8_0 : .f16 }
        guard isStated else { return }
        $0.change = { $0.add(Self.key, .string(#"{"dtypes":{"lm_head.weight":"F32"}}"#)) }
      }
      let checkpoint = try model.open(in: folder)
      #expect((checkpoint.tensor(named: "lm_head.weight")?.dtype == .f32) == isStated)
      #expect(checkpoint.contents.notices == [])
    }
  }

  @Test func `Q2_0 in larger groups comes back`() throws {
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? .q2_0 : .f16 }
      $0.change = { file in
        for i in file.tensors.indices where file.tensors[i].type == GGUFTensorType.q2_0.rawValue {
          for block in 0..<file.tensors[i].data.count / 18 {
            for j in 0..<2 {
              file.tensors[i].data[18 * block + j] = file.tensors[i].data[36 * (block / 2) + j]
            }
          }
        }
        file.add(
          Self.key,
          .string(#"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":128,"tables":"F16"}}}"#))
      }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.tensor(named: "model.layers.0.mlp.up_proj.scales")?.shape == [256, 2])
    #expect(
      try checkpoint.unpackedWeights(of: "model.layers.0.mlp.up_proj") == model.values("blk.0.ffn_up.weight"))
  }

  @Test(arguments: [
    "", "[]", #"{"modules":[]}"#, #"{"modules":{},"more":{}}"#, #"{"dtypes":{"model.norm.weight":"U8"}}"#,
    #"{"dtypes":{"model.norm.weights":"F32"}}"#, #"{"modules":{"model.layers.0.mlp.up_proj":true}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":7,"group_size":64}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":48}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":512}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":64,"tables":"I8"}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":64,"mode":"affine"}}}"#,
    #"{"modules":{"model.layers.0.mlp.down_proj":{"bits":2,"group_size":64}}}"#,
    #"{"modules":{"model.layers.7.mlp.up_proj":{"bits":2,"group_size":64}}}"#,
    #"{"modules":{"model.layers.0.mlp.up_proj":{"bits":2,"group_size":16,"grid":"q2_k"}}}"#,
  ])
  func `a statement that does not fit the file is refused`(statement: String) throws {
    #expect(throws: FormatError.self) {
      try model(bits: 2, groupSize: 64, statement: statement).open(in: folder)
    }
  }

  @Test(arguments: [
    #"{"bits":2,"group_size":256}"#, #"{"bits":4,"group_size":32,"grid":"q4_k"}"#,
    #"{"bits":2,"group_size":16,"grid":"q2_k","tables":"F32"}"#,
  ])
  func `a statement about Q2_K is refused unless it says so`(statement: String) throws {
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? .q2K : .f16 }
      $0.change = {
        $0.add(Self.key, .string(#"{"modules":{"model.layers.0.mlp.up_proj":\#(statement)}}"#))
      }
    }
    #expect(throws: FormatError.self) { try model.open(in: folder) }
  }

  @Test func `a stated dtype of Q2_K is given back`() throws {
    let model = GGUFModel {
      $0.type = { $0 == "blk.0.ffn_up.weight" ? .q2K : .f16 }
      $0.change = { $0.add(Self.key, .string(#"{"dtypes":{"model.layers.0.mlp.up_proj.weight":"F32"}}"#)) }
    }
    let checkpoint = try model.open(in: folder)
    #expect(checkpoint.contents.quantization.isEmpty && checkpoint.contents.notices.isEmpty)
    #expect(
      try checkpoint.floats(of: "model.layers.0.mlp.up_proj.weight") == model.values("blk.0.ffn_up.weight"))
  }
}
