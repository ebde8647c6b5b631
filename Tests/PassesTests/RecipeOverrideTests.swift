import Passes
import TestSupport
import Testing

@Suite struct RecipeOverrideTests {
  private static let yaml = """
    input: in
    output: out
    variables: {size: 64, text: t.txt}
    passes:
      - quantize: {group_size: "${size}", ignore: [lm_head, up_proj]}
      - verify: {text: "${text}"}
    """

  @Test func `sets a value by its path`() throws {
    let recipe = try parse(Self.yaml, "passes.0.quantize.group_size=32")
    #expect(recipe.passes[0] == .quantize(try quantize(groupSize: 32)))
  }

  @Test func `adds a key that was not there`() throws {
    let recipe = try parse(Self.yaml, "passes.0.quantize.tables=bf16", "to=mlx")
    var expected = try quantize(groupSize: 64)
    expected.tables = .bf16
    #expect(recipe.passes[0] == .quantize(expected))
    #expect(recipe.outputFormat == .mlx)
  }

  @Test func `sets a list and an element of it`() throws {
    let recipe = try parse(
      Self.yaml, "passes.0.quantize.ignore=[a, b]", "passes.0.quantize.ignore.1=c")
    var expected = try quantize(groupSize: 64)
    expected.ignore = [try ModulePattern("a"), try ModulePattern("c")]
    #expect(recipe.passes[0] == .quantize(expected))
  }

  @Test func `sets a variable`() throws {
    let recipe = try parse(Self.yaml, "size=128")
    #expect(recipe.passes[0] == .quantize(try quantize(groupSize: 128)))
    #expect(
      recipe.variables == [.init(name: "size", value: "128"), .init(name: "text", value: "t.txt")])
  }

  @Test func `lets the last of two win`() throws {
    let recipe = try parse(Self.yaml, "size=128", "size=32")
    #expect(recipe.passes[0] == .quantize(try quantize(groupSize: 32)))
  }

  @Test func `lets a path win over a variable`() throws {
    let recipe = try parse(Self.yaml, "passes.0.quantize.group_size=32", "size=128")
    #expect(recipe.passes[0] == .quantize(try quantize(groupSize: 32)))
  }

  @Test func `takes input and output as they are and from the current folder`() throws {
    let recipe = try parse(Self.yaml, "input=123", "output=a: #b")
    #expect(recipe.input == PathOption("123"))
    #expect(recipe.output == PathOption("a: #b"))
  }

  @Test func `takes a path of a pass from the current folder`() throws {
    let recipe = try parse(Self.yaml, "passes.1.verify.text=here.txt")
    let options = try #require(recipe.passes[1].options(of: VerifyPass.self))
    #expect(options.text == PathOption("here.txt"))
  }

  @Test func `gives an input that the recipe leaves out`() throws {
    #expect(try parse("output: out\npasses: []", "input=in").input == PathOption("in"))
  }

  @Test(arguments: [
    ("size", "--set size: … name=value …"),
    ("=1", "--set =1: … name=value …"),
    ("sise=1", "recipes/r.yaml: --set sise=1: … variable … 'sise' … nearest … 'size' …"),
    (
      "passes.2.merge={}",
      "recipes/r.yaml: --set passes.2.merge={}: … 2 … 0 … '2' …"
    ),
    (
      "passes.0.quantise.bits=3",
      "recipes/r.yaml: --set passes.0.quantise.bits=3: … 'quantise' … nearest … 'quantize' …"
    ),
    (
      "input.a=3", "recipes/r.yaml: --set input.a=3: … 'in' … 'a' …"
    ),
    (
      "passes.0.quantize.bitz=3",
      "recipes/r.yaml: --set passes.0.quantize.bitz=3: key 'passes.0.quantize.bitz': … no such key … 'bitz' … nearest … 'bits' …"
    ),
    (
      "passes.0.quantize.bits=7",
      "recipes/r.yaml: --set passes.0.quantize.bits=7: key 'passes.0.quantize.bits': … '7' … 2, 3, 4, 5, 6 or 8 …"
    ),
    (
      "passes.0.quantize.bits=",
      "recipes/r.yaml: --set passes.0.quantize.bits=: key 'passes.0.quantize.bits': … empty … 2, 3, 4, 5, 6 or 8 …"
    ),
    (
      "passes.0.quantize.ignore=[a",
      "recipes/r.yaml: --set passes.0.quantize.ignore=[a: … ',' … ']' …"
    ),
    (
      "size=48",
      "recipes/r.yaml: line 5: key 'passes.0.quantize.group_size': … '48' … 32, 64 or 128 …"
    ),
  ])
  func `refuses an argument`(argument: String, expected: String) {
    let text = message { _ = try parse(Self.yaml, argument) }
    #expect(text.says(expected), "\(text)")
  }

  private func quantize(groupSize: Int) throws -> QuantizeOptions {
    try QuantizeOptions {
      $0.groupSize = groupSize
      $0.ignore = [try ModulePattern("lm_head"), try ModulePattern("up_proj")]
    }
  }
}
