/// A module that a pass may work on.
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

/// Which modules a pass works on.
public struct ModuleSelection: Sendable, Equatable {
  /// Names that `ignore` may always give: a model with tied embeddings has no `lm_head`, and a recipe for many
  /// models names it all the same.
  static let knownNonTargets = ["lm_head", "model.embed_tokens"]

  /// What to take; nil takes all linears of the layers.
  public let targets: [ModulePattern]?
  /// What to leave out of that.
  public let ignore: [ModulePattern]

  /// Combines patterns.
  public init(targets: [ModulePattern]?, ignore: [ModulePattern] = []) {
    self.targets = targets
    self.ignore = ignore
  }

  /// Applies the patterns to the modules of a model.
  ///
  /// - Parameter modules: Every module with a weight matrix, selectable or not.
  /// - Returns: The names of the selected modules, in the order of `modules`.
  /// - Throws: `PassError.unmatchedPattern` for the first pattern without a match, `.emptySelection` when nothing
  ///   is left.
  public func select(from modules: [ModuleDescription]) throws -> [String] {
    let names = modules.map(\.name)
    var isSelected = modules.map(\.isLayerLinear)
    if let targets {
      isSelected = names.map { _ in false }
      for pattern in targets {
        try Self.forEachMatch(of: pattern, in: names, orAmong: []) { isSelected[$0] = true }
      }
    }
    for pattern in ignore {
      try Self.forEachMatch(of: pattern, in: names, orAmong: Self.knownNonTargets) { isSelected[$0] = false }
    }
    let selected = zip(names, isSelected).filter(\.1).map(\.0)
    guard !selected.isEmpty else { throw PassError.emptySelection }
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
