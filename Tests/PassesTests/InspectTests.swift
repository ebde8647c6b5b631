import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct InspectTests {
  @Test func `folds layers that are alike, and groups in groups`() throws {
    var small = SmallCheckpoint()
    for layer in 0..<3 {
      for expert in 0..<2 { small.add("layers.\(layer).experts.\(expert).up.weight", [1, 2]) }
    }
    small.add("layers.3.up.weight", [1])
    small.add("norm.weight", [1])
    let folder = try TemporaryFolder()
    let text = try Inspection(small.open(in: folder)).text
    let tree = text.split(separator: "\n\n").last.map(String.init)
    #expect(
      tree == """
        layers.0-2 (3 alike)               16 B each
          experts.0-1 (2 alike)             8 B each
            up.weight            F32  [2]        8 B
        layers.3                                 4 B
          up.weight              F32  [1]        4 B
        norm.weight              F32  [1]        4 B
        """)
  }

  @Test func `groups tensors in whatever order they are stored`() throws {
    var small = SmallCheckpoint()
    for name in ["l.10.a", "l.2.b", "l", "l.2.a", "l.10.b", "l.9.b", "l.x", "k.007.a", "l.9.a", "k.7.a"] {
      small.add(name, [1])
    }
    let folder = try TemporaryFolder()
    let text = try Inspection(small.open(in: folder)).text
    #expect(
      text.split(separator: "\n\n").last.map(String.init) == """
        k.7                              4 B
          a               F32  [1]       4 B
        k.007.a           F32  [1]       4 B
        l                 F32  [1]       4 B
        l.2                              8 B
          a               F32  [1]       4 B
          b               F32  [1]       4 B
        l.9-10 (2 alike)            8 B each
          a               F32  [1]       4 B
          b               F32  [1]       4 B
        l.x               F32  [1]       4 B
        """)
  }

  @Test func `keeps layers apart that differ in a shape`() throws {
    var small = SmallCheckpoint()
    small.add("layers.0.weight", [1])
    small.add("layers.1.weight", [1, 2])
    let folder = try TemporaryFolder()
    #expect(try !Inspection(small.open(in: folder)).text.contains("alike"))
  }

  @Test func `shows a quantized module as one line`() throws {
    var small = SmallCheckpoint()
    small.addPacked("m.up", codes: [UInt8](repeating: 1, count: 32), scale: 1, bias: 0)
    let folder = try TemporaryFolder()
    let text = try Inspection(small.open(in: folder)).text
    #expect(text.contains("\nm.up  2 bits, groups of 32  [1, 32]  16 B"))
    #expect(text.contains("2 bits in groups of 32: 1 module, 32 weights, 16 B"))
    #expect(text.contains("4.00, tables and adapters included"))
  }

  @Test func `summarizes configuration and tokenizer`() throws {
    let text = try Inspection(Checkpoint.open(path: tinyLlama)).text
    #expect(
      text.contains("LlamaForCausalLM: 4 layers, hidden size 128, feed-forward size 384, 4 heads of 32"))
    #expect(text.contains("BPE of 1,024 tokens, 766 merges, 2 added tokens"))
    #expect(text.contains("model.layers.0-3 (4 alike)"))
  }

  @Test func `tells how a checkpoint was made`() throws {
    let folder = try TemporaryFolder()
    let made = try convert(tinyLlama, to: folder.path("out.rilq"), passes: "[{quantize: {bits: 2}}]")
    let text = try Inspection(made).text
    #expect(text.contains("rilq test: quantize (method rtn, bits 2, group_size 64, tables f32)"))
    #expect(text.contains("from config.json "))
  }

  @Test func `escapes names from files`() throws {
    var small = SmallCheckpoint()
    small.add("a\u{1B}[31m\nb.weight", [1])
    small.metadata = .object([JSONValue.Member("no\u{7}te", .string("x\ny"))])
    let folder = try TemporaryFolder()
    let inspection = try Inspection(small.open(in: folder), Inspection.Options(readsValues: true))
    for text in [inspection.text, inspection.markdown] {
      #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || !$0.properties.generalCategory.isControl })
      #expect(text.contains("\\u{1b}") || text.contains("\\\\u{1b}"))
    }
  }

  @Test func `does not sink into a name of many numbers`() throws {
    var small = SmallCheckpoint()
    small.add([String](repeating: "0", count: 20_000).joined(separator: ".") + ".weight", [1])
    let folder = try TemporaryFolder()
    #expect(try Inspection(small.open(in: folder)).text.contains("0.0.0.0"))
  }

  @Test func `lists the tensors that are asked for`() throws {
    let checkpoint = try Checkpoint.open(path: tinyLlama)
    let options = Inspection.Options(patterns: [
      try ModulePattern("re:.*q_proj.*"), try ModulePattern("lm_head"),
    ])
    let names = try Inspection(checkpoint, options).json["tensors"]?.array?.compactMap { $0["name"]?.string }
    #expect(
      names?.sorted() == ["lm_head.weight"] + (0..<4).map { "model.layers.\($0).self_attn.q_proj.weight" })
  }

  @Test func `refuses a pattern without a match`() throws {
    let options = Inspection.Options(patterns: [try ModulePattern("q_prj")])
    let text = message { _ = try Inspection(Checkpoint.open(path: tinyLlama), options) }
    #expect(text.says("pattern 'q_prj' … nearest … 'model.layers.0.self_attn.q_proj' …"))
  }

  @Test func `has the keys that programs rely on`() throws {
    var small = SmallCheckpoint()
    small.addPacked("m", codes: [UInt8](repeating: 1, count: 32), scale: 1, bias: 0)
    let folder = try TemporaryFolder()
    let json = try Inspection(small.open(in: folder)).json
    for key in ["format", "tensors", "parameters", "bytes", "bits_per_weight", "metadata"] {
      #expect(json[key] != nil, "\(key)")
    }
    #expect(
      json["tensors"]?.array?.first?.compactText
        == #"{"name":"m.weight","dtype":"U32","shape":[1,2],"bytes":8,"bits":2,"group_size":32}"#)
  }

  @Test func `counts what a GGUF file stores, not what the codes take`() throws {
    let folder = try TemporaryFolder()
    let made = try convert(
      tinyLlama, to: folder.path("out.gguf"), passes: "[{quantize: {bits: 2, tables: f16}}]")
    let inspection = try Inspection(made)
    let json = inspection.json
    #expect(json["bits_per_weight"]?.double == 5)
    let tensors = json["tensors"]?.array ?? []
    #expect(tensors.reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) } == json["bytes"]?.integer)
    let up = tensors.filter { $0["name"]?.string?.hasPrefix("model.layers.0.mlp.up_proj.") == true }
    // 384 rows of 4 blocks, of which 16 bytes are codes, 2 a scale and 2 a bias.
    #expect(up.map { $0["bytes"]?.integer } == [384 * 4 * 16, 384 * 4 * 2, 384 * 4 * 2])
    #expect(up.allSatisfy { $0["stored_as"]?.string == "Q4_1" })
    #expect(up.first?["bits"]?.integer == 2)
    let packing = try #require(json["quantization"]?.array?.first)
    #expect(packing["stored_as"]?.string == "Q4_1")
    let packed = tensors.filter { $0["stored_as"]?.string == "Q4_1" }
    #expect(packing["bytes"]?.integer == packed.reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) })
    #expect(inspection.text.contains("2 bits, groups of 64, in Q4_1"))
    #expect(inspection.text.contains("5.00, tables and adapters included"))
  }

  @Test func `the bias of a packed linear is a parameter, but takes no bits of its weights`() throws {
    var small = SmallCheckpoint()
    small.addPacked("m", codes: [UInt8](repeating: 1, count: 32), scale: 1, bias: 0)
    small.add("m.bias", [1])
    let folder = try TemporaryFolder()
    let json = try Inspection(small.open(in: folder)).json
    #expect(json["parameters"]?.integer == 33)
    // 8 bytes of codes, 4 of a scale and 4 of a bias of the group.
    #expect(json["bits_per_weight"]?.double == 4)
  }

  @Test func `an adapter adds no parameters to the model`() throws {
    let folder = try TemporaryFolder()
    let made = try convert(
      tinyLlama, to: folder.path("out.rilq"), passes: "[{attach: {kind: dense, rank: 4}}]")
    let expected = try Inspection(Checkpoint.open(path: tinyLlama)).json["parameters"]
    #expect(try Inspection(made).json["parameters"] == expected)
  }

  @Test func `counts the modules with an adapter`() throws {
    let folder = try TemporaryFolder()
    let made = try convert(
      tinyLlama, to: folder.path("out.rilq"),
      passes: "[{quantize: {bits: 2}}, {attach: {rank: 4, targets: [q_proj, v_proj]}}]")
    let inspection = try Inspection(made)
    #expect(inspection.json["adapter"]?["modules"]?.integer == 8)
    #expect(inspection.json["adapter"]?["rank"]?.integer == 4)
    #expect(inspection.text.contains("8 modules"))
  }

  @Test func `refuses a container whose tables do not fit`() throws {
    var small = SmallCheckpoint()
    small.add("m.weight", .u32, [1, 2], [UInt8](repeating: 0, count: 8))
    small.quantization["m"] = QuantizedLayout(bits: 2, groupSize: 32)
    let folder = try TemporaryFolder()
    #expect(throws: FormatError.self) { _ = try Inspection(small.open(in: folder)) }
  }
}

extension Unicode.GeneralCategory {
  fileprivate var isControl: Bool { self == .control }
}
