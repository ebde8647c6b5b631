import Checkpoints
import Foundation
import TestSupport
import Testing

/// The recipes that are built in, run by the binary.
@Suite struct RecipeCommandTests {
  static let names = ["fast", "balanced", "best"]

  /// What makes a recipe short enough for a test: windows of the model's own, and two updates.
  private static let shortened = [
    "updates=2", "passes.0.quantize.samples=2", "passes.0.quantize.length=32", "passes.1.calibrate.samples=8",
    "passes.1.calibrate.length=32", "passes.1.calibrate.validation=0", "passes.1.calibrate.warmup=0",
    "passes.3.verify.sampled=1", "passes.3.verify.window=32", "passes.4.verify.sampled=1",
    "passes.4.verify.window=32",
  ].flatMap { ["--set", $0] }

  @Test func `lists every recipe with what it takes and gives`() throws {
    let output = try succeed("recipes", "--json", in: TemporaryFolder()).output
    let recipes = try #require(try JSONValue(parsing: Array(output.utf8))["recipes"]?.array)
    #expect(recipes.compactMap { $0["name"]?.string } == Self.names)
    for recipe in recipes {
      #expect(recipe.keys == ["name", "summary", "takes", "gives"])
      for member in recipe.object ?? [] { #expect(member.value.string?.isEmpty == false, "\(member.key)") }
    }
    let text = try succeed("recipes", in: TemporaryFolder()).output
    for name in Self.names { #expect(text.contains(name + "\n")) }
  }

  @Test(arguments: names)
  func `prints the file of a recipe`(name: String) throws {
    let file = try String(contentsOfFile: Fixtures.root + "/Recipes/\(name).yaml", encoding: .utf8)
    #expect(try succeed("recipes", name, in: TemporaryFolder()).output == file)
  }

  @Test(arguments: [["recipes", "fats"], ["convert", "model", "out.rilq", "--recipe", "fats"]])
  func `a name that no recipe has is refused with those that there are`(arguments: [String]) throws {
    let folder = try folderWithModel()
    let result = try Program(arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(try folder.names() == ["model"])
    #expect(result.error.contains("'fats'") && result.error.contains("fast, balanced and best"))
  }

  @Test(arguments: names)
  func `every recipe plans on a small model, and writes nothing`(name: String) throws {
    let folder = try folderWithFixture()
    let output = try succeed("convert", "model", "out.rilq", "--recipe", name, "--dry-run", in: folder).output
    let count = name == "fast" ? 28 : 30
    #expect(output.contains("quantize: \(count) modules") && output.contains("merge: 28 modules"))
    let time = #/\ntime: about \d[\d.]* (s|min|h) on .* of them \d+ (s|min) for windows that .*; by /#
    #expect(output.firstMatch(of: time) != nil, "\(output.suffix(300))")
    #expect(try folder.names() == ["model"])
  }

  @Test(arguments: names)
  func `every recipe runs without a text, through merge and verify`(name: String) throws {
    let folder = try folderWithFixture()
    let output = try Program(
      ["convert", "model", "out.rilq", "--recipe", name, "--json"] + Self.shortened, in: folder
    ).wait()
    #expect(output.code == 0, "\(output.error)")
    let passes = try #require(try JSONValue(parsing: Array(output.output.utf8))["passes"]?.array)
    #expect(
      passes.compactMap { $0["name"]?.string } == ["quantize", "calibrate", "merge", "verify", "verify"])
    #expect(passes[3]["passed"] == .bool(true) && passes[3]["checks"]?.array?.count == 2)
    #expect(passes[4]["tokens_scored"]?.integer == 31)
    let result = try Checkpoint.open(path: folder.path("out.rilq")).contents
    #expect(result.quantization.values.count { $0.bits == 2 } == 28)
    let outer = result.quantization.filter { $0.value.bits != 2 }
    #expect(Set(outer.keys) == (name == "fast" ? [] : ["model.embed_tokens", "lm_head"]))
    #expect(outer.values.allSatisfy { $0.bits == 4 })
    let recipe = result.metadata["history"]?.array?.first?["recipe"]
    #expect(recipe?["input"]?.string == "model" && recipe?["output"]?.string == "out.rilq")
  }

  @Test func `a recipe takes texts of the current folder, in the share that it has for them`() throws {
    let folder = try folderWithFixture()
    try folder.write("text.txt", try Array(Data(contentsOf: URL(filePath: calibrationText))))
    let output = try Program(
      ["convert", "model", "out.rilq", "--recipe", "fast", "--text", "text.txt", "--text", evaluationText]
        + Self.shortened + ["--set", "passes.0.quantize.sampled=0", "--set", "passes.1.calibrate.sampled=2"],
      in: folder
    ).wait()
    #expect(output.code == 0, "\(output.error)")
    let metadata = try Checkpoint.open(path: folder.path("out.rilq")).contents.metadata
    let passes = metadata["history"]?.array?.first?["recipe"]?["passes"]?.array
    #expect(passes?[0]["quantize"]?["text"] == .array([.string("text.txt"), .string(evaluationText)]))
    #expect(passes?[1]["calibrate"]?["sampled"] == .integer(2))
  }

  @Test func `a recipe of a file is run on other paths`() throws {
    let folder = try folderWithModel()
    try folder.write("recipes/r.yaml", "input: x\noutput: y\npasses:\n  - quantize: {bits: 4}\n")
    try succeed("convert", "model", "out.rilq", "--recipe", "recipes/r.yaml", in: folder)
    #expect(
      try Checkpoint.open(path: folder.path("out.rilq")).contents.quantization.values.allSatisfy {
        $0.bits == 4
      })
  }

  @Test func `groups that do not divide the columns are refused with those that do`() throws {
    let folder = try folderWithModel(TinyModel { ($0.hiddenSize, $0.intermediateSize) = (96, 96) })
    let result = try Program.run("convert", "model", "out.rilq", "--recipe", "fast", "--dry-run", in: folder)
    #expect(result.code == 64)
    #expect(result.error.contains("96 columns") && result.error.contains("32 would fit"))
    #expect(result.error.contains("--set group_size=32"))
    try succeed(
      "convert", "model", "out.rilq", "--recipe", "fast", "--dry-run", "--set", "group_size=32", in: folder)
  }
}
