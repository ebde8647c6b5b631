import Checkpoints

/// The options of a pass: a value whose properties have defaults, with one declaration for each.
///
/// Recipes, the command line, the recipe that an output records and the tables of `Formats/recipe.md` all come from
/// `declarations`; adding an option is one property and one declaration.
public protocol PassOptionValues: Sendable, Equatable {
  /// Every option has its default.
  init()

  /// The options in the order in which they are written.
  static var declarations: [PassOption<Self>] { get }

  /// Checks what no single option shows: options that need or exclude each other. Does nothing by default.
  ///
  /// - Parameters:
  ///   - given: The keys that were given, and how errors name their places.
  ///   - previous: The passes before this one in the recipe.
  /// - Throws: `PassError.recipe`, as `given.failure` makes it.
  func validate(_ given: GivenOptions, after previous: [PassOptions]) throws

  /// Fills in what follows from the keys that were given, before `validate`; changes nothing by default.
  ///
  /// - Parameter given: The keys that were given.
  /// - Returns: The options with these values.
  func completed(_ given: GivenOptions) -> Self

  /// Fills in the defaults that depend on other options or on the passes before; changes nothing by default.
  ///
  /// - Parameter previous: The passes before this one in the recipe.
  /// - Returns: The options with these defaults.
  func resolved(after previous: [PassOptions]) -> Self
}

extension PassOptionValues {
  /// The declaration of one of these options.
  public typealias Option = PassOption<Self>

  /// The defaults with some changes: `QuantizeOptions { $0.bits = 3 }`.
  public init(_ change: (inout Self) throws -> Void) rethrows {
    self.init()
    try change(&self)
  }

  /// No rules.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {}

  /// Nothing follows.
  public func completed(_ given: GivenOptions) -> Self { self }

  /// Nothing depends on anything else.
  public func resolved(after previous: [PassOptions]) -> Self { self }

  /// Every option that is written, by its key.
  var members: [JSONValue.Member] {
    Self.declarations.filter { $0.isWritten(self) }.map { JSONValue.Member($0.key, $0.write(self)) }
  }

  /// The files and folders that the options name.
  var paths: [OptionPath] { Self.declarations.flatMap { $0.paths(self) } }

  /// Reads a map of options.
  init(reading reader: RecipeReader, after previous: [PassOptions]) throws {
    let declarations = Self.declarations
    let map = try reader.map(keys: declarations.map(\.key))
    self.init()
    for option in declarations {
      if let member = map.members.first(where: { $0.name == option.key }) {
        try option.read(member.value, &self)
      }
    }
    let given = GivenOptions(map)
    self = completed(given)
    try validate(given, after: previous)
  }

  /// The options with every relative path rewritten.
  func movingPaths(_ move: (PathOption) -> PathOption) -> Self {
    var moved = self
    for option in Self.declarations { option.movePaths(&moved, move) }
    return moved
  }
}

/// Collects the declarations of options; each is an expression of its own.
@resultBuilder public enum PassOptionTable<Options: Sendable> {
  /// One option.
  public static func buildExpression(_ option: PassOption<Options>) -> [PassOption<Options>] { [option] }

  /// Options that are declared elsewhere.
  public static func buildExpression(_ options: [PassOption<Options>]) -> [PassOption<Options>] { options }

  /// All of them in order.
  public static func buildBlock(_ options: [PassOption<Options>]...) -> [PassOption<Options>] {
    Array(options.joined())
  }
}

/// The keys that were given for a pass, by a recipe or by flags.
public struct GivenOptions {
  private let map: RecipeMap

  init(_ map: RecipeMap) { self.map = map }

  /// Whether a key is given, and not as `null`.
  public func has(_ key: String) -> Bool { map.has(key) }

  /// An error about the options as a whole.
  public func failure(_ reason: String) -> PassError { map.reader.failure(reason) }

  /// An error about the value of a key that is given.
  public func failure(at key: String, _ reason: String) -> PassError {
    map.members.first { $0.name == key }?.value.failure(reason) ?? failure("'\(key)': \(reason)")
  }

  /// An error about a key that is given where it may not be.
  public func misplaced(_ key: String, _ reason: String) -> PassError {
    guard let member = map.members.first(where: { $0.name == key }) else { return failure(reason) }
    return .recipe(member.keyPlace, reason)
  }

  /// The error of a key that must be given and is not.
  public func missing(_ key: String) -> PassError { map.missing(key) }

  /// The keys that are given, in their order.
  public var keys: [String] { map.members.map(\.name) }

  /// Refuses texts of which one would give no window.
  func requireWindows(_ count: Int, for texts: [PathOption]) throws {
    guard count < texts.count else { return }
    throw failure("'text' has \(texts.count) files for \(count) windows")
  }
}
