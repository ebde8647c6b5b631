import Checkpoints

extension Recipe {
  /// Reads a recipe file.
  ///
  /// - Parameters:
  ///   - path: The file; relative paths in it start from its folder.
  ///   - overrides: The `name=value` of each `--set`, applied in order.
  ///   - registry: The passes that the recipe may name.
  /// - Throws: `PassError` with the line, `FormatError` when the file cannot be read.
  public init(
    contentsOf path: String, overrides: [String] = [], registry: PassRegistry = .standard
  ) throws {
    let file = try InputFile(path: path, access: .read)
    let byteCount = min(file.byteCount, RecipeNode.byteLimit + 1)
    let bytes = try file.withBytes(in: 0..<byteCount) { $0.copiedBytes() }
    guard let yaml = String(validating: bytes, as: UTF8.self) else {
      throw PassError.recipe(RecipePlace(path: path, origin: nil), "is not UTF-8")
    }
    try self.init(parsing: yaml, path: path, overrides: overrides, registry: registry)
  }

  /// Reads the text of a recipe.
  ///
  /// - Parameters:
  ///   - yaml: The text.
  ///   - path: Its name in messages; relative paths start from the folder in it.
  ///   - overrides: The `name=value` of each `--set`, applied in order.
  ///   - registry: The passes that the recipe may name.
  /// - Throws: `PassError` with the line.
  public init(
    parsing yaml: String, path: String, overrides: [String] = [], registry: PassRegistry = .standard
  ) throws {
    var root: RecipeNode
    do {
      root = try RecipeNode(yaml: yaml)
    } catch {
      throw PassError.recipe(
        RecipePlace(path: path, origin: error.line.map { .line($0) }, key: error.key), error.reason)
    }
    for argument in overrides { try root.apply(RecipeOverride(argument), recipePath: path) }
    let variables = try RecipeVariables(of: root, recipePath: path)
    let filled = try variables.fill(root)
    try self.init(
      reading: RecipeReader(node: filled, recipePath: path, key: ""), variables: variables.values, registry)
  }

  private init(reading reader: RecipeReader, variables: [Variable], _ registry: PassRegistry) throws {
    let map = try reader.map(keys: Self.keys)
    var passes: [PassOptions] = []
    let input = try map.required("input").path()
    let output = try map.required("output").path()
    for entry in try map.required("passes").list(of: "passes") {
      passes.append(try PassOptions(reading: entry, after: passes, registry))
    }
    self.init(
      input: input, output: output, outputFormat: try map.optional("to") { try $0.choice() },
      variables: variables, passes: passes)
  }
}
