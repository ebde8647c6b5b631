import Checkpoints

/// The options of a pass: a value with one property and one declaration per option.
///
/// Recipes, the command line, the recipe recorded in an output and the tables of `Formats/recipe.md` all come
/// from `declarations`. A new option takes one property and one declaration.
public protocol PassOptionValues: Sendable, Equatable {
  /// Every option has its default.
  init()

  /// The options, in the order in which they are written.
  static var declarations: [PassOption<Self>] { get }

  /// Checks rules between options, such as options that need or exclude each other. The default does nothing.
  ///
  /// - Parameters:
  ///   - given: The keys that were given, with their places for errors.
  ///   - previous: The passes before this one in the recipe.
  /// - Throws: `PassError.recipe`, made by `given.failure`.
  func validate(_ given: GivenOptions, after previous: [PassOptions]) throws

  /// Derives values from the given keys, before `validate`. The default changes nothing.
  ///
  /// - Parameter given: The keys that were given.
  /// - Returns: The options with these values.
  func completed(_ given: GivenOptions) -> Self

  /// Fills in defaults that depend on other options or on earlier passes. The default changes nothing.
  ///
  /// - Parameter previous: The passes before this one in the recipe.
  /// - Returns: The options with these defaults.
  func resolved(after previous: [PassOptions]) -> Self
}

extension PassOptionValues {
  /// The declaration of an option.
  public typealias Option = PassOption<Self>

  /// Changes some of the defaults: `QuantizeOptions { $0.bits = 3 }`.
  public init(_ change: (inout Self) throws -> Void) rethrows {
    self.init()
    try change(&self)
  }

  /// Has no rules.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {}

  /// Derives nothing.
  public func completed(_ given: GivenOptions) -> Self { self }

  /// Has no such defaults.
  public func resolved(after previous: [PassOptions]) -> Self { self }

  /// The written options, by key.
  var members: [JSONValue.Member] {
    Self.declarations.filter { $0.isWritten(self) }.map { JSONValue.Member($0.key, $0.write(self)) }
  }

  /// The files and folders that the options name.
  var paths: [OptionPath] { Self.declarations.flatMap { $0.paths(self) } }

  /// Reads an object of options.
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

  /// Returns the options with every relative path rewritten.
  func movingPaths(_ move: (PathOption) -> PathOption) -> Self {
    var moved = self
    for option in Self.declarations { option.movePaths(&moved, move) }
    return moved
  }
}

/// Collects the declarations of options; each is a separate expression.
@resultBuilder public enum PassOptionTable<Options: Sendable> {
  /// One option.
  public static func buildExpression(_ option: PassOption<Options>) -> [PassOption<Options>] { [option] }

  /// Options declared elsewhere.
  public static func buildExpression(_ options: [PassOption<Options>]) -> [PassOption<Options>] { options }

  /// All declarations in order.
  public static func buildBlock(_ options: [PassOption<Options>]...) -> [PassOption<Options>] {
    Array(options.joined())
  }
}

/// The keys that were given for a pass, by a recipe or by flags.
public struct GivenOptions {
  private let map: RecipeMap

  init(_ map: RecipeMap) { self.map = map }

  /// Whether a key is given and not `null`.
  public func has(_ key: String) -> Bool { map.has(key) }

  /// An error about the options as a whole.
  public func failure(_ reason: String) -> PassError { map.reader.failure(reason) }

  /// An error about the value of a given key.
  public func failure(at key: String, _ reason: String) -> PassError {
    map.members.first { $0.name == key }?.value.failure(reason) ?? failure("'\(key)': \(reason)")
  }

  /// An error about a given key that is not allowed there.
  public func misplaced(_ key: String, _ reason: String) -> PassError {
    guard let member = map.members.first(where: { $0.name == key }) else { return failure(reason) }
    return .recipe(member.keyPlace, reason)
  }

  /// The error of a required key that is missing.
  public func missing(_ key: String) -> PassError { map.missing(key) }

  /// The given keys, in order.
  public var keys: [String] { map.members.map(\.name) }

  /// Rejects numbers of windows that leave one of the texts without a window.
  ///
  /// - Parameters:
  ///   - counts: The numbers of windows that the texts share, such as those of training and of validation.
  ///   - texts: The texts.
  /// - Throws: `PassError.recipe`.
  func requireWindows(_ counts: [Int], for texts: TextList<PathOption>) throws {
    let empty = texts.indices.first { index in
      counts.allSatisfy { texts.windowCount(at: index, of: $0) == 0 }
    }
    guard let empty, let most = counts.max() else { return }
    guard texts.isEven else {
      throw failure("'text': the share of '\(texts[empty].written)' is less than one of \(most) windows")
    }
    throw failure("'text' has \(texts.count) files for \(most) windows")
  }
}
