public import Checkpoints

/// One step of a recipe: a pass with its options.
public struct PassOptions: Sendable, Equatable {
  /// The pass.
  public private(set) var pass: any Pass

  /// Wraps a pass of any type.
  public init(_ pass: some Pass) { self.pass = pass }

  /// The name of the pass, as in recipes and commands.
  public var name: String { type(of: pass).name }

  /// All options with their values, by their keys in recipes.
  public var options: JSONValue { .object(pass.members) }

  /// Returns the options if the pass has a type.
  public func options<P: Pass>(of type: P.Type) -> P.Options? { (pass as? P)?.options }

  /// Whether both are the same pass with equal options.
  public static func == (a: PassOptions, b: PassOptions) -> Bool { a.pass.isEqual(to: b.pass) }
}

extension PassOptions {
  /// Reads an entry of `passes`: an object whose only key is the name of a pass.
  init(reading entry: RecipeReader, after previous: [PassOptions], _ registry: PassRegistry) throws {
    let expected = "the name of a pass with its options: \(registry.names.alternatives())"
    let map = try entry.anyMap(of: expected)
    guard let step = map.members.first, map.members.count == 1 else {
      throw entry.failure("has \(map.members.count) keys, expected \(expected)")
    }
    guard let pass = registry[step.name] else {
      throw PassError.recipe(step.keyPlace, unknownName(step.name, "pass", among: registry.names))
    }
    self.init(reading: try pass.init(reading: step.value, after: previous))
  }

  private init(reading pass: any Pass) { self.pass = pass }

  /// Reads the options of a pass from flags; relative paths start at the current folder.
  ///
  /// - Parameters:
  ///   - name: The name of a pass.
  ///   - flags: The given flags, with distinct keys.
  ///   - previous: The passes before it.
  ///   - registry: The known passes.
  /// - Throws: `PassError.recipe` that names the flag; `PassError.usage` when the pass is not known.
  public init(
    name: String, flags: [PassFlag], after previous: [PassOptions] = [],
    registry: PassRegistry = .standard
  ) throws {
    guard let pass = registry[name] else {
      throw PassError.usage(unknownName(name, "pass", among: registry.names))
    }
    self.init(reading: try pass.init(flags: flags, after: previous))
  }

  /// Returns the step with the defaults that depend on earlier steps.
  func resolved(after previous: [PassOptions]) -> PassOptions {
    var step = self
    step.pass = pass.resolved(after: previous)
    return step
  }

  /// Returns the step with every relative path rewritten.
  func movingPaths(_ move: (PathOption) -> PathOption) -> PassOptions {
    var step = self
    step.pass = pass.movingPaths(move)
    return step
  }

  /// Returns the option's paths with one of the roles, as they are opened.
  func paths(_ roles: OptionPath.Role...) -> [String] {
    pass.paths.filter { roles.contains($0.role) }.map(\.path.resolved)
  }
}

extension Collection<PassOptions> {
  /// Whether the state before the last merge exists and computes the same.
  var haveUnmergedState: Bool {
    let states = map(\.pass.effect.unmerged).filter { $0 != .unchanged }
    return states.last == .before
  }
}

extension Pass {
  init(reading reader: RecipeReader, after previous: [PassOptions]) throws {
    self.init(try Options(reading: reader, after: previous))
  }

  /// Reads the options from flags.
  package init(flags: [PassFlag], after previous: [PassOptions] = []) throws {
    let node = RecipeNode(value: .map(flags.map(\.member)), origin: .argument(Self.name))
    try self.init(reading: RecipeReader(node: node, recipePath: nil, key: ""), after: previous)
  }

  fileprivate var members: [JSONValue.Member] { options.members }

  fileprivate var paths: [OptionPath] { options.paths }

  fileprivate func isEqual(to other: any Pass) -> Bool { (other as? Self)?.options == options }

  fileprivate func resolved(after previous: [PassOptions]) -> Self {
    Self(options.resolved(after: previous))
  }

  fileprivate func movingPaths(_ move: (PathOption) -> PathOption) -> Self {
    Self(options.movingPaths(move))
  }
}
