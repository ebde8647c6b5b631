/// The arguments of a command line that change a recipe; paths start at the current folder.
public struct RecipeArguments: Sendable {
  /// The checkpoint to read; nil uses the recipe's.
  public var input: String?
  /// The file or folder to write; nil uses the recipe's.
  public var output: String?
  /// The texts that replace the recipe's variable `text`; an empty list keeps it.
  public var texts: [String]
  /// The `name=value` of each `--set`, applied in order after the other arguments.
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
