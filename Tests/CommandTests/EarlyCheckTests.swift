import Foundation
import TestSupport
import Testing

/// What can be known before the first pass is checked before the first pass.
@Suite struct EarlyCheckTests {
  private static let names = ["model", "recipe.yaml", "short.txt"]

  private func folder(_ passes: String...) throws -> TemporaryFolder {
    let folder = try folderWithFixture()
    try folder.write("short.txt", "In the beginning")
    let lines = passes.map { "  - \($0)\n" }.joined()
    try folder.write("recipe.yaml", "input: model\noutput: out.rilq\npasses:\n" + lines)
    return folder
  }

  @Test(arguments: [
    "verify: {text: short.txt, window: 64}",
    "quantize: {method: gptq, text: short.txt, samples: 4, length: 64, targets: [q_proj]}",
    "attach: {kind: dense, init: qera, text: short.txt, samples: 4, length: 64}",
    "calibrate: {text: short.txt, samples: 4, length: 64}",
  ])
  func `a text that is too short is found before anything is quantized`(pass: String) throws {
    let folder = try folder("quantize: {ignore: [q_proj]}", pass)
    let result = try Program.run("convert", "recipe.yaml", "--resume", in: folder)
    #expect(result.code == 2)
    #expect(result.error.hasPrefix("rilq: short.txt: ") && result.error.hasSuffix("\n"))
    #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
    #expect(try folder.names() == Self.names)
  }

  @Test(arguments: [
    (["out.rilq", "--to", "gguf"], "out.rilq: its name says rilq, but the format is to be gguf"),
    (["out.gguf", "--to", "mlx"], "out.gguf: its name says gguf, but the format is to be mlx"),
    (["out.rilq", "--for", "llama.cpp"], "out.rilq: its name says rilq, but the format is to be gguf"),
  ])
  func `a name that says another format is found before anything is written`(
    arguments: [String], message: String
  ) throws {
    let folder = try folder()
    let result = try Program(["convert", "model"] + arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(result.error == "rilq: \(message)\n")
    #expect(try folder.names() == Self.names)
  }

  @Test func `a reference that is no model is found before anything is quantized`() throws {
    let folder = try folder(
      "quantize: {}", "verify: {against: short.txt, text: '\(evaluationText)', window: 64}")
    let result = try Program.run("convert", "recipe.yaml", "--resume", in: folder)
    #expect(result.code == 2)
    #expect(result.error.hasPrefix("rilq: short.txt: "), "\(result.error)")
    #expect(try folder.names() == Self.names)
  }

  @Test func `an error between two passes says that finished steps are kept`() throws {
    let folder = try folder(
      "quantize: {}", "attach: {init: loftq, kind: dense, teacher: quantized.rilq}")
    try succeed("quantize", "model", "quantized.rilq", in: folder)
    let result = try Program.run("convert", "recipe.yaml", "--resume", "--quiet", in: folder)
    #expect(result.code == 64)
    #expect(result.error.contains("finished steps are kept for --resume"))
    #expect(result.error.contains("is quantized itself"))
  }
}

/// A configuration whose sizes are not those of the tensors is a malformed input, however large they are.
@Suite struct HostileSizeTests {
  /// Sizes of a configuration.
  enum Sizes: String, CaseIterable, CustomTestStringConvertible, Sendable {
    /// Beyond the limits of a configuration.
    case wide, deep
    /// Within them.
    case wideStream, manyLayers
    var testDescription: String { rawValue }

    private var values: [String: Int] {
      let large = 1 << 24
      return switch self {
      case .wide:
        [
          "hidden_size": large, "intermediate_size": large, "num_attention_heads": large,
          "num_key_value_heads": large, "head_dim": large, "vocab_size": large,
        ]
      case .deep: ["num_hidden_layers": large]
      case .wideStream: ["hidden_size": large, "intermediate_size": large, "vocab_size": large]
      case .manyLayers: ["num_hidden_layers": 4096]
      }
    }

    /// Writes the sizes into the configuration of a folder.
    func write(to folder: TemporaryFolder) throws {
      let text = String(decoding: try folder.read("model/config.json"), as: UTF8.self)
      var object = try #require(
        try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
      for (key, value) in values { object[key] = value }
      try folder.write("model/config.json", Array(JSONSerialization.data(withJSONObject: object)))
    }
  }

  private static let dense = [["quantize", "--method", "gptq", "--text", calibrationText], ["rotate"]]
  private static let packed = [
    ["calibrate", "--text", calibrationText], ["attach", "--kind", "dense", "--init", "loftq"],
    ["attach", "--kind", "dense", "--init", "qera", "--text", calibrationText],
    ["attach", "--kind", "dense", "--init", "atc", "--text", calibrationText],
  ]

  @Test(arguments: dense, Sizes.allCases)
  func `passes of dense models refuse them`(command: [String], sizes: Sizes) throws {
    try expectRefusal(command, sizes, in: folderWithFixture())
  }

  @Test(arguments: packed, Sizes.allCases)
  func `passes of quantized models refuse them`(command: [String], sizes: Sizes) throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Fixtures.path("tiny-llama"), "model", in: folder)
    try expectRefusal(command, sizes, in: folder)
  }

  private func expectRefusal(_ command: [String], _ sizes: Sizes, in folder: TemporaryFolder) throws {
    try sizes.write(to: folder)
    let arguments = command.prefix(1) + ["model", "out.rilq", "--dry-run"] + command.dropFirst()
    let result = try Program(Array(arguments), in: folder).wait()
    #expect(result.code == 2, "\(result.error)")
    #expect(result.error.hasPrefix("rilq: model") && result.error.split(separator: "\n").count == 1)
    #expect(result.output.isEmpty)
  }
}
