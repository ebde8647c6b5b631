import Passes
import TestSupport
import Testing

@Suite struct ModulePatternTests {
  private static let name = "model.layers.10.mlp.down_proj"

  @Test(arguments: [
    "model.layers.10.mlp.down_proj", "down_proj", "mlp.down_proj", "*", "*down*", "model.*.down_proj",
    "model.layers.1?.*", "*.[1-3]0.*", "*.[!2]0.mlp.*", "*_proj", "m*l.*.*.*.d*_*j", "*down[_]proj",
    "re:.*down_proj", "re:model\\.layers\\.\\d+\\.mlp\\.(up|down)_proj",
  ])
  func `matches`(pattern: String) throws {
    #expect(try ModulePattern(pattern).matcher()(Self.name))
  }

  @Test(arguments: [
    "proj", "own_proj", "mlp", "model", "model.layers.10.mlp", "Down_proj", "mlp.*", "*.down", "?",
    "*.[2-9]0.*",
    "*.[!1]0.*", "model.layers.?.*", "re:down_proj", "re:model", "re:",
  ])
  func `does not match`(pattern: String) throws {
    #expect(try !ModulePattern(pattern).matcher()(Self.name))
  }

  @Test(arguments: [("a]", "[]]", false), ("]", "[]]", true), ("-", "[a-]", true), ("^", "[!a]", true)])
  func `reads sets as fnmatch does`(name: String, pattern: String, isMatch: Bool) throws {
    #expect(try ModulePattern(pattern).matcher()(name) == isMatch)
  }

  @Test func `needs no exponential time for many runs`() throws {
    let pattern = String(repeating: "*a", count: 30) + "b"
    #expect(try !ModulePattern(pattern).matcher()(String(repeating: "a", count: 3000)))
  }

  @Test(arguments: [
    ("", "… '' … empty"),
    ("a[b", "… 'a[b' … '[' … ']'"),
    ("[z-a]", "… '[z-a]' …"),
    ("re:a(", "… 're:a(' …"),
  ])
  func `refuses`(pattern: String, expected: String) {
    #expect(message { _ = try ModulePattern(pattern) }.says(expected))
  }
}
