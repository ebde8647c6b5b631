import Checkpoints
import Foundation
import TestSupport
import Testing

/// One line on standard error, the documented exit code, nothing written.
@Suite struct FailureTests {
  /// Something that goes wrong.
  struct Failure: Sendable, CustomTestStringConvertible {
    let name: String
    let code: Int32
    /// What the line says among other things.
    let parts: [String]
    let arguments: [String]
    var model = TinyModel()
    /// Breaks something in a folder that has `model`.
    var breaking: @Sendable (TemporaryFolder) throws -> Void = { _ in }
    var testDescription: String { name }
  }

  private static let quantize = ["quantize", "model", "out.rilq"]
  private static let evaluate = ["eval", "model", "--text", evaluationText, "--window", "64"]

  private static let badCheckpoints = [
    Failure(
      name: "malformed header", code: 2, parts: ["model/model.safetensors: "], arguments: quantize
    ) { folder in
      var bytes = try folder.read("model/model.safetensors")
      bytes[8] = UInt8(ascii: "[")
      try folder.write("model/model.safetensors", bytes)
    },
    Failure(
      name: "header longer than the file", code: 2, parts: ["model/model.safetensors: "], arguments: quantize
    ) { folder in
      var bytes = try folder.read("model/model.safetensors")
      bytes[5] = 1
      try folder.write("model/model.safetensors", bytes)
    },
    Failure(
      name: "truncated file", code: 2, parts: ["model/model.safetensors: "], arguments: quantize
    ) { folder in
      let bytes = try folder.read("model/model.safetensors")
      try folder.write("model/model.safetensors", Array(bytes.dropLast(2)))
    },
    Failure(
      name: "missing shard", code: 2, parts: ["model: model.safetensors.index.json: shard 'model-00002-of-"],
      arguments: quantize, model: TinyModel { $0.shardByteLimit = 300_000 }
    ) { folder in
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("model"))
      let shard = try #require(names.first { $0.hasPrefix("model-00002-of-") })
      try FileManager.default.removeItem(atPath: folder.path("model/" + shard))
    },
    Failure(
      name: "tensor of the wrong shape", code: 2,
      parts: ["tensor 'model.layers.0.mlp.gate_proj.weight': shape is [128, 128], expected [64, 128]"],
      arguments: evaluate
    ) { folder in
      try edit("model/config.json", in: folder) {
        $0.replacing("\"intermediate_size\": 128", with: "\"intermediate_size\": 64")
      }
    },
    Failure(
      name: "other architecture", code: 2,
      parts: ["config.json: key 'model_type': model type 'gpt2' is not supported"], arguments: evaluate
    ) { folder in
      try edit("model/config.json", in: folder) { $0.replacing("\"llama\"", with: "\"gpt2\"") }
    },
    Failure(
      name: "tokenizer that is not supported", code: 2, parts: ["model/tokenizer.json: ", "Unigram"],
      arguments: evaluate
    ) { folder in
      try edit("model/tokenizer.json", in: folder) { $0.replacing("\"BPE\"", with: "\"Unigram\"") }
    },
    Failure(
      name: "no tokenizer", code: 2, parts: ["model: tokenizer.json is missing"], arguments: evaluate
    ) { folder in
      try FileManager.default.removeItem(atPath: folder.path("model/tokenizer.json"))
    },
  ]

  private static let badInputs = [
    Failure(
      name: "text that is not UTF-8", code: 2, parts: ["bad.txt: byte 3: "],
      arguments: ["eval", "model", "--text", "bad.txt"]
    ) { try $0.write("bad.txt", [0x61, 0x62, 0x63, 0xFF, 0x61]) },
    Failure(
      name: "text too short", code: 2, parts: ["short.txt: has 1 tokens, its windows need 512"],
      arguments: ["eval", "model", "--text", "short.txt"]
    ) { try $0.write("short.txt", "a") },
    Failure(
      name: "no text", code: 4, parts: ["none.txt: the file is missing"],
      arguments: ["eval", "model", "--text", "none.txt"]),
    Failure(
      name: "no input", code: 4, parts: ["none: the file or folder is missing"],
      arguments: ["quantize", "none", "out.rilq"]),
    Failure(
      name: "input of no kind that is read", code: 2, parts: ["notes.txt: "],
      arguments: ["quantize", "notes.txt", "out.rilq"]
    ) { try $0.write("notes.txt", "what is this?") },
    Failure(
      name: "weight that is not finite", code: 2,
      parts: ["tensor 'model.layers.0.self_attn.q_proj.weight': value 9 is not finite"], arguments: quantize
    ) { folder in
      try TinyModel().write(to: folder.path("model")) { name, values in
        if name == "model.layers.0.self_attn.q_proj.weight" { values[9] = .nan }
      }
    },
  ]

  private static let badRequests = [
    Failure(
      name: "recipe with a wrong key", code: 64, parts: ["r.yaml: line 4: ", "group_sizes", "group_size"],
      arguments: ["convert", "r.yaml"]
    ) { folder in
      try folder.write(
        "r.yaml", "input: model\noutput: out.rilq\npasses:\n  - quantize: {bits: 2, group_sizes: 64}\n")
    },
    Failure(
      name: "flag of a wrong value", code: 64, parts: ["--bits 7"], arguments: quantize + ["--bits", "7"]),
    Failure(
      name: "pattern without a match", code: 64, parts: ["'*.mpl.*' matches no module"],
      arguments: quantize + ["--targets", "*.mpl.*"]),
    Failure(
      name: "group size that does not fit", code: 64, parts: ["96 columns", "32 would fit"],
      arguments: quantize, model: TinyModel { $0.hiddenSize = 96 }),
    Failure(
      name: "tables that GGUF does not hold", code: 3,
      parts: [
        "out.gguf: tensor 'model.layers.0.self_attn.q_proj.weight': Q4_1 has F16 tables", "--tables f16",
        "--lossy", "--gguf-type f32",
      ],
      arguments: ["quantize", "model", "out.gguf"]),
    Failure(
      name: "adapter that MLX does not load", code: 3, parts: ["out: tensor", "lora_A", "'rilq merge'"],
      arguments: ["convert", "model", "out", "--to", "mlx", "--pass", "quantize", "--pass", "attach"]),
    Failure(
      name: "adapter that GPTQ does not hold", code: 3, parts: ["out: tensor", "lora_A", "merged first"],
      arguments: [
        "convert", "model", "out", "--to", "gptq", "--pass", "quantize: {grid: zero_point}", "--pass",
        "attach: {kind: dense}",
      ]),
    Failure(
      name: "GGUF option for another format", code: 64, parts: ["goes with a GGUF file only"],
      arguments: quantize + ["--gguf-type", "q4_1"]),
    Failure(
      name: "loss where nothing is lost", code: 64,
      parts: ["--lossy has no meaning, rilq holds every result"],
      arguments: quantize + ["--lossy"]),
    Failure(
      name: "GGUF type that there is not", code: 64, parts: ["--gguf-type q7_k", "q4_k"],
      arguments: ["quantize", "model", "out.gguf", "--gguf-type", "q7_k"]),
    Failure(
      name: "nothing to merge", code: 64, parts: ["no adapter"], arguments: ["merge", "model", "out.rilq"]),
    Failure(
      name: "existing target", code: 4, parts: ["out.rilq: exists already; --force replaces it"],
      arguments: quantize
    ) { try $0.write("out.rilq", "precious") },
    Failure(
      name: "output equals input", code: 2, parts: ["model: is the input itself"],
      arguments: ["quantize", "model", "./model", "--force"]),
    Failure(
      name: "output inside input", code: 2, parts: ["is inside the input 'model'"],
      arguments: ["quantize", "model", "model/out.rilq"]),
    Failure(
      name: "dense adapter merged into codes", code: 3,
      parts: ["a dense adapter cannot be merged", "keep it beside", "--requantize"],
      arguments: [
        "convert", "model", "out.rilq", "--pass", "quantize", "--pass", "attach: {kind: dense}", "--pass",
        "merge",
      ]),
    Failure(
      name: "calibration that makes it worse", code: 1, parts: ["smaller learning rate"],
      arguments: [
        "convert", Fixtures.path("tiny-llama"), "out.rilq", "--pass", "quantize", "--pass", "attach",
        "--pass",
        "calibrate: {text: '\(calibrationText)', samples: 4, length: 64, updates: 2, batch: 2, validation: 2, "
          + "learning_rate: 1}",
      ]),
  ]

  private static func edit(
    _ name: String, in folder: TemporaryFolder, _ body: (String) -> String
  ) throws {
    let text = String(decoding: try folder.read(name), as: UTF8.self)
    let edited = body(text)
    try #require(edited != text)
    try folder.write(name, edited)
  }

  @Test(arguments: badCheckpoints + badInputs + badRequests)
  func `says why in one line, exits with the code and writes nothing`(failure: Failure) throws {
    let folder = try folderWithModel(failure.model)
    try failure.breaking(folder)
    let before = try folder.contents()
    let result = try Program(failure.arguments + ["--quiet"], in: folder).wait()
    #expect(result.code == failure.code)
    #expect(result.output.isEmpty)
    #expect(result.error.hasPrefix("rilq: "))
    #expect(result.error.split(separator: "\n", omittingEmptySubsequences: false).count == 2)
    for part in failure.parts { #expect(result.error.contains(part), "\(result.error)") }
    #expect(try folder.contents() == before)
  }
}
