/// A module that a pass can process.
public struct ModuleDescription: Sendable, Equatable {
  /// The name without `.weight`: `model.layers.0.mlp.up_proj`.
  public let name: String
  /// Whether it is a linear of a layer; the embedding and the output head are not.
  public let isLayerLinear: Bool

  /// Describes a module.
  public init(name: String, isLayerLinear: Bool) {
    self.name = name
    self.isLayerLinear = isLayerLinear
  }
}

/// The modules that a pass processes.
public struct ModuleSelection: Sendable, Equatable {
  /// Names that `ignore` accepts even without a match: a recipe for many models can name `lm_head`, although
  /// a model with tied embeddings has none.
  static let knownNonTargets = ["lm_head", "model.embed_tokens"]

  /// The modules to select; nil selects all linears of the layers.
  public let targets: [ModulePattern]?
  /// The modules to leave out of the selection.
  public let ignore: [ModulePattern]

  /// Combines targets and exceptions.
  public init(targets: [ModulePattern]?, ignore: [ModulePattern] = []) {
    self.targets = targets
    self.ignore = ignore
  }

  /// Applies the patterns to the modules of a model.
  ///
  /// - Parameters:
  ///   - modules: Every module with a weight matrix, selectable or not.
  ///   - others: Modules to select beside the targets.
  ///   - reason: What to throw when no module is left.
  /// - Returns: The names of the selected modules, in the order of `modules`.
  /// - Throws: `PassError.unmatchedPattern` for the first pattern without a match, and the reason.
  public func select(
    from modules: [ModuleDescription], adding others: Set<String> = [],
    orThrow reason: @autoclosure () -> PassError = .emptySelection
  ) throws -> [String] {
    let names = modules.map(\.name)
    var isSelected = modules.map(\.isLayerLinear)
    if let targets {
      isSelected = names.map { _ in false }
      for pattern in targets {
        try Self.forEachMatch(of: pattern, in: names, orAmong: []) { isSelected[$0] = true }
      }
    }
    for index in names.indices where others.contains(names[index]) { isSelected[index] = true }
    for pattern in ignore {
      try Self.forEachMatch(of: pattern, in: names, orAmong: Self.knownNonTargets) { isSelected[$0] = false }
    }
    let selected = zip(names, isSelected).filter(\.1).map(\.0)
    guard !selected.isEmpty else { throw reason() }
    return selected
  }

  private static func forEachMatch(
    of pattern: ModulePattern, in names: [String], orAmong known: [String], _ body: (Int) -> Void
  ) throws {
    let matches = try pattern.matcher()
    let indices = names.indices.filter { matches(names[$0]) }
    guard !indices.isEmpty || known.contains(where: matches) else {
      throw PassError.unmatchedPattern(
        pattern.text, at: pattern.place, nearest: pattern.nearest(among: names))
    }
    indices.forEach(body)
  }
}
