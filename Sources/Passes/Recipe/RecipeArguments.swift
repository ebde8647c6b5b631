/// What a command line says besides the text of a recipe; paths start from the current folder.
public struct RecipeArguments: Sendable {
  /// The checkpoint to read; nil leaves it to the recipe.
  public var input: String?
  /// The file or folder to write; nil leaves it to the recipe.
  public var output: String?
  /// The texts that take the place of the recipe's variable `text`; none leaves it as it is.
  public var texts: [String]
  /// The `name=value` of each `--set`, applied in order after the others.
  public var overrides: [String]

  /// Gathers arguments.
  public init(
    input: String? = nil, output: String? = nil, texts: [String] = [], overrides: [String] = []
  ) {
    self.input = input
    self.output = output
    self.texts = texts
    self.overrides = overrides
  }
}
