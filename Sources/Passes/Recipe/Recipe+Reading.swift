import Checkpoints

extension Recipe {
  /// Reads a recipe file.
  ///
  /// - Parameters:
  ///   - path: The file; relative paths in it start at its folder.
  ///   - overrides: The `name=value` of each `--set`, applied in order.
  ///   - registry: The passes that the recipe can name.
  /// - Throws: `PassError` with the line, `FormatError` when the file cannot be read.
  public init(
    contentsOf path: String, overrides: [String] = [], registry: PassRegistry = .standard
  ) throws {
    try self.init(contentsOf: path, RecipeArguments(overrides: overrides), registry: registry)
  }

  /// Reads a recipe file.
  ///
  /// - Parameters:
  ///   - path: The file; relative paths in it start at its folder.
  ///   - arguments: The arguments of the command line.
  ///   - registry: The passes that the recipe can name.
  /// - Throws: `PassError` with the line, `FormatError` when the file cannot be read.
  public init(
    contentsOf path: String, _ arguments: RecipeArguments, registry: PassRegistry = .standard
  ) throws {
    let file = try InputFile(path: path, access: .read)
    let byteCount = min(file.byteCount, RecipeNode.byteLimit + 1)
    let bytes = try file.withBytes(in: 0..<byteCount) { $0.copiedBytes() }
    guard let yaml = String(validating: bytes, as: UTF8.self) else {
      throw PassError.recipe(RecipePlace(path: path, origin: nil), "is not UTF-8")
    }
    try self.init(parsing: yaml, path: path, arguments, registry: registry)
  }

  /// Reads the text of a recipe.
  ///
  /// - Parameters:
  ///   - yaml: The text.
  ///   - path: The recipe's path for messages; relative paths start at its folder.
  ///   - overrides: The `name=value` of each `--set`, applied in order.
  ///   - registry: The passes that the recipe can name.
  /// - Throws: `PassError` with the line.
  public init(
    parsing yaml: String, path: String, overrides: [String] = [], registry: PassRegistry = .standard
  ) throws {
    try self.init(
      parsing: yaml, path: path, RecipeArguments(overrides: overrides), registry: registry)
  }

  /// Reads the text of a recipe.
  ///
  /// - Parameters:
  ///   - yaml: The text.
  ///   - path: The recipe's path for messages; relative paths start at its folder.
  ///   - arguments: The arguments of the command line.
  ///   - registry: The passes that the recipe can name.
  /// - Throws: `PassError` with the line.
  public init(
    parsing yaml: String, path: String, _ arguments: RecipeArguments, registry: PassRegistry = .standard
  ) throws {
    let root: RecipeNode
    do {
      root = try RecipeNode(yaml: yaml)
    } catch {
      throw PassError.recipe(
        RecipePlace(path: path, origin: error.line.map { .line($0) }, key: error.key), error.reason)
    }
    try self.init(root, path: path, arguments, registry)
  }

  /// Creates a recipe from the passes of a command line, without a file.
  ///
  /// - Parameters:
  ///   - passes: Each pass as in a recipe, `quantize: {bits: 2}`, or just its name.
  ///   - arguments: The input, the output and other arguments of the command line.
  ///   - registry: The known passes.
  /// - Throws: `PassError` with the argument.
  public init(
    passes: [String], _ arguments: RecipeArguments, registry: PassRegistry = .standard
  ) throws {
    var nodes: [RecipeNode] = []
    for pass in passes {
      let origin = RecipePlace.Origin.argument("--pass \(pass)")
      do {
        nodes.append(try RecipeNode(yaml: pass, origin: origin).withOptions)
      } catch {
        throw PassError.recipe(RecipePlace(path: nil, origin: origin, key: error.key), error.reason)
      }
    }
    let origin = RecipePlace.Origin.argument("convert")
    let list = RecipeNode(value: .list(nodes), origin: origin)
    let root = RecipeNode(
      value: .map([RecipeNode.Member(key: "passes", keyOrigin: origin, value: list)]), origin: origin)
    try self.init(root, path: nil, arguments, registry)
  }

  private init(
    _ root: RecipeNode, path: String?, _ arguments: RecipeArguments, _ registry: PassRegistry
  ) throws {
    var root = root
    try root.apply(arguments, recipePath: path)
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

extension RecipeNode {
  /// The node as a pass without options if it is a pass's name; otherwise unchanged.
  fileprivate var withOptions: RecipeNode {
    guard case .scalar(let name, .plain) = value, !name.isEmpty else { return self }
    let options = RecipeNode(value: .map([]), origin: origin)
    return RecipeNode(
      value: .map([Member(key: name, keyOrigin: origin, value: options)]), origin: origin)
  }
}
