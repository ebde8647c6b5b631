import ArgumentParser
import Checkpoints
import Passes
import Recipes

/// `rilq convert`: runs a recipe from a file, a built-in recipe, or one made from arguments.
struct Convert: SharedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a recipe: read a checkpoint, run passes, write a checkpoint.",
    usage: """
      rilq convert RECIPE.yaml [--text FILE ...] [--set NAME=VALUE ...]
      rilq convert INPUT OUTPUT --recipe NAME [--text FILE ...] [--set NAME=VALUE ...]
      rilq convert INPUT OUTPUT [--pass PASS ...]
      """,
    discussion: """
      'rilq convert MODEL OUT.rilq --recipe fast' makes a 2-bit model; 'rilq recipes' lists the recipes. Without \
      --recipe and --pass only the format changes.
      """)

  @Argument(help: "A recipe; or a checkpoint to read and the output to write.")
  var paths: [String] = []

  @Option(
    help: ArgumentHelp(
      "The recipe to run: \(BuiltInRecipe.all.map(\.name).joined(separator: ", ")) or FILE.yaml.",
      valueName: "name"))
  var recipe: String?

  @Option(
    help: "A text to optimize for, the recipe's variable 'text'; can be repeated.")
  var text: [String] = []

  @Option(
    name: .customLong("pass"),
    help: "A pass as in a recipe, such as 'quantize: {bits: 2}' or 'merge'; can be repeated, in order.")
  var passes: [String] = []

  @Option(
    name: .customLong("set"),
    help: "Set a variable, input, output, or any value of the recipe by its path; can be repeated.")
  var overrides: [String] = []

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program that runs the model: \(Runtime.allCases.map(\.rawValue).joined(separator: ", "))."
        + " Chooses the format, and the grid of quantized weights.", valueName: "runtime"),
    transform: Runtime.named)
  var runtime: Runtime?

  @Option(
    help: ArgumentHelp(
      "The most bytes of the tensors, such as 75MB: bits are distributed by sensitivity, embedding included.",
      valueName: "size"))
  var size: String?

  @Option(
    help: ArgumentHelp(
      "The same as the average bits of all parameters, such as 3.5.", valueName: "bits"))
  var bitsPerParameter: Double?

  @Option(
    help: "Write the recipe, with every option, to a file after the run; not with --dry-run.")
  var writeRecipe: String?

  @Option(help: "Write one JSON object per calibration update to a file (JSON Lines).")
  var log: String?

  @Option(help: "Also write a report of the run as an HTML page to a file.")
  var report: String?

  @Option(
    help: "Also write a model card (.md), such as OUTPUT/README.md; the input's card is kept and extended.")
  var card: String?

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    try requirePaths()
    if recipe != nil, !passes.isEmpty {
      throw ValidationError("--recipe has passes of its own; leave out --pass")
    }
    if paths.count == 2, recipe == nil, !text.isEmpty {
      throw ValidationError("--text goes with a recipe: rilq convert INPUT OUTPUT --recipe fast --text FILE")
    }
    let isPath = { (override: String) in override.hasPrefix("input=") || override.hasPrefix("output=") }
    if paths.count == 2, let override = overrides.first(where: isPath) {
      throw ValidationError("--set \(override): the arguments INPUT and OUTPUT say that already")
    }
    if let runtime, outputOptions.to != nil {
      throw ValidationError(
        "--for \(runtime.rawValue): chooses the format, and so does --to; leave out one")
    }
    for (name, path) in [("--report", report), ("--card", card)] where path != nil && outputOptions.dryRun {
      throw ValidationError("\(name) writes a file and --dry-run writes nothing; leave out one of them")
    }
    if let writeRecipe, let other = (paths + [log].compactMap(\.self)).first(where: { $0 == writeRecipe }) {
      throw ValidationError("--write-recipe \(other): is another file of this run")
    }
    if writeRecipe != nil, outputOptions.dryRun {
      throw ValidationError(
        "--write-recipe writes a file and --dry-run writes nothing; leave out one of them")
    }
  }

  /// Checks the number of paths.
  private func requirePaths() throws {
    switch paths.count {
    case 0:
      throw ValidationError(
        "the recipe, or the input and the output, are missing: rilq convert INPUT OUTPUT --recipe fast")
    case 1 where recipe != nil && Recipe.isFileName(paths[0]):
      throw ValidationError(
        "\(paths[0]) is a recipe itself: rilq convert \(paths[0]), or rilq convert INPUT OUTPUT --recipe NAME"
      )
    case 1 where recipe != nil || !passes.isEmpty || Self.isCheckpoint(paths[0]):
      let flags = recipe.map { " --recipe \($0)" } ?? (passes.isEmpty ? " --recipe fast" : " --pass …")
      throw ValidationError(
        "the output is missing: rilq convert \(paths[0]) \(Self.suggestedOutput(for: paths[0]))\(flags)")
    case 1, 2: return
    default:
      throw ValidationError(
        "\(paths.count) paths are given; a recipe, or an input and an output, are expected: rilq convert INPUT OUTPUT "
          + "--recipe fast")
    }
  }

  private static let endings = [".gguf", ".safetensors", ".rilq"]

  /// Whether a path names a checkpoint rather than a recipe, judged by its name and kind.
  private static func isCheckpoint(_ path: String) -> Bool {
    endings.contains { path.hasSuffix($0) } || (try? FileSystem.kind(of: path)) == .folder
  }

  /// Returns an output name for a checkpoint: its last path component without an extension.
  private static func suggestedOutput(for input: String) -> String {
    let name = input.split(separator: "/").last.map(String.init) ?? "out"
    let ending = endings.first { name.hasSuffix($0) }
    let stem = ending.map { String(name.dropLast($0.count)) }
    return (stem ?? (name.allSatisfy { $0 == "." } ? "out" : name)) + "-2bit.rilq"
  }

  func run() throws {
    let mayReplace = outputOptions.force || outputOptions.resume
    if let writeRecipe { try SideFile.requirePlace(at: writeRecipe, mayReplace: mayReplace) }
    let recipe = try readRecipe()
    do {
      try RecipeRunner(
        recipe: recipe, global: global, output: outputOptions, logPath: log,
        files: outputOptions.dryRun
          ? nil
          : ConversionFiles(
            recipe, report: report, card: card, mayReplace: mayReplace, access: global.access)
      ).run()
    } catch let error as PassError {
      throw error.showingVariable(of: recipe)
    }
    if let writeRecipe, ProcessJob.isFirst {
      try SideFile.write(
        recipe.moved(to: writeRecipe).resolvedYAML(), to: writeRecipe, mayReplace: mayReplace)
    }
  }

  private func readRecipe() throws -> Recipe {
    let given: Recipe
    if paths.count == 1 {
      given = try Recipe(contentsOf: paths[0], RecipeArguments(texts: text, overrides: overrides))
    } else {
      let arguments = RecipeArguments(input: paths[0], output: paths[1], texts: text, overrides: overrides)
      given = try recipe.map { try Recipe(named: $0, arguments) } ?? Recipe(passes: passes, arguments)
    }
    let sized = try given.distributing(
      size: try size.map { try OutputOptions.byteCount($0, of: "--size") }, bitsPerParameter: bitsPerParameter
    )
    if let runtime { return sized.targeting(runtime) }
    guard let format = try outputOptions.format() else { return sized }
    return Recipe(
      input: sized.input, output: sized.output, outputFormat: format, variables: sized.variables,
      passes: sized.passes)
  }
}

extension PassError {
  /// Adds to an error about group sizes the argument that fixes it, if the recipe has a variable for them.
  fileprivate func showingVariable(of recipe: Recipe) -> PassError {
    let variable = "group_size"
    guard case .divisibility(_, _, _, nil, let fitting) = self, let size = fitting.max(),
      recipe.variables.contains(where: { $0.name == variable })
    else { return self }
    return .usage("\(description): --set \(variable)=\(size)")
  }
}
