import Passes
import Testing

/// A recipe named `recipes/r.yaml`.
func parse(_ yaml: String, _ overrides: String...) throws -> Recipe {
  try Recipe(parsing: yaml, path: "recipes/r.yaml", overrides: overrides)
}

/// A recipe with these passes, the first of them on line 4.
func recipeText(passes: String...) -> String {
  "input: in\noutput: out\npasses:\n" + passes.map { "  - \($0)\n" }.joined()
}

/// The only pass of a recipe that has one.
func parsePass(_ pass: String) throws -> PassOptions {
  try #require(try parse(recipeText(passes: pass)).passes.first)
}

extension PassOptions {
  /// The options of a quantization, nil for every other pass.
  var quantizeOptions: QuantizeOptions? {
    guard case .quantize(let options) = self else { return nil }
    return options
  }
}

/// The message of the error that a body throws, or a text that no test expects.
func message(of body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return "\(error)"
  }
}
