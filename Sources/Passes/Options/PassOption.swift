import Checkpoints

/// The declaration of one option: how it is written, read, checked and explained.
///
/// The property's initial value is the default.
public struct PassOption<Options: Sendable>: Sendable {
  /// The key in recipes: `group_size`; as a flag `--group-size`.
  public let key: String
  /// The meaning as a phrase that begins in lower case.
  public let help: String
  /// The form of the flag; nil when only recipes can set the option.
  package private(set) var flag: OptionFlag?
  /// The type and range in words, as in `Formats/recipe.md`.
  let type: String
  /// The default in words, if its value is not clear enough.
  private(set) var defaultPhrase: String?
  let read: @Sendable (RecipeReader, inout Options) throws -> Void
  let write: @Sendable (Options) -> JSONValue
  let paths: @Sendable (Options) -> [OptionPath]
  let movePaths: @Sendable (inout Options, (PathOption) -> PathOption) -> Void
  /// Whether the option has an effect and is therefore written.
  private(set) var isWritten: @Sendable (Options) -> Bool = { _ in true }

  /// Declares an option.
  ///
  /// - Parameters:
  ///   - key: The key in recipes, in snake case.
  ///   - property: The property with the value.
  ///   - kind: The possible values.
  ///   - help: The meaning as a phrase that begins in lower case.
  ///   - narrowed: The values allowed by the options read before; nil allows all of `kind`.
  public init<Value>(
    _ key: String, _ property: any WritableKeyPath<Options, Value> & Sendable, _ kind: OptionKind<Value>,
    _ help: String, narrowed: (@Sendable (Options) -> OptionKind<Value>)? = nil
  ) {
    self.init(key, kind, help) { reader, options in
      let kind = narrowed?(options) ?? kind
      options[keyPath: property] = try kind.read(reader)
    } write: { options in
      kind.write(options[keyPath: property])
    } paths: { options in
      kind.paths(options[keyPath: property])
    } movePaths: { options, move in
      options[keyPath: property] = kind.movePaths(options[keyPath: property], move)
    }
  }

  /// Declares an option whose default is `null`.
  ///
  /// - Parameters:
  ///   - key: The key in recipes, in snake case.
  ///   - property: The property with the value.
  ///   - kind: The possible values besides `null`.
  ///   - help: The meaning as a phrase that begins in lower case.
  ///   - narrowed: The values allowed by the options read before; nil allows all of `kind`.
  public init<Value>(
    _ key: String, _ property: any WritableKeyPath<Options, Value?> & Sendable, _ kind: OptionKind<Value>,
    _ help: String, narrowed: (@Sendable (Options) -> OptionKind<Value>)? = nil
  ) {
    self.init(key, kind, help) { reader, options in
      let kind = narrowed?(options) ?? kind
      options[keyPath: property] = reader.node.isNull ? nil : try kind.read(reader)
    } write: { options in
      .optional(options[keyPath: property], kind.write)
    } paths: { options in
      options[keyPath: property].map(kind.paths) ?? []
    } movePaths: { options, move in
      options[keyPath: property] = options[keyPath: property].map { kind.movePaths($0, move) }
    }
  }

  private init<Value>(
    _ key: String, _ kind: OptionKind<Value>, _ help: String,
    read: @escaping @Sendable (RecipeReader, inout Options) throws -> Void,
    write: @escaping @Sendable (Options) -> JSONValue,
    paths: @escaping @Sendable (Options) -> [OptionPath],
    movePaths: @escaping @Sendable (inout Options, (PathOption) -> PathOption) -> Void
  ) {
    self.key = key
    self.help = help
    type = kind.type
    flag = kind.flag
    self.read = read
    self.write = write
    self.paths = paths
    self.movePaths = movePaths
  }

  /// Returns the option, written only if a condition holds under which it has an effect.
  public func when(_ condition: @escaping @Sendable (Options) -> Bool) -> Self {
    var option = self
    let before = isWritten
    option.isWritten = { before($0) && condition($0) }
    return option
  }

  /// Returns the option with its default explained by a phrase.
  public func byDefault(_ phrase: String) -> Self {
    var option = self
    option.defaultPhrase = phrase
    return option
  }

  /// Returns the option without a flag.
  public func inRecipesOnly() -> Self {
    var option = self
    option.flag = nil
    return option
  }
}

/// The form of an option's flag.
package enum OptionFlag: Sendable {
  /// One value.
  case value
  /// A list: the flag is repeated, or takes several values.
  case list(repeated: Bool)
  /// Entries `name=value`; help shows the word `entry`.
  case map(entry: String)
  /// A boolean: the flag alone means true.
  case toggle
}

/// A path that an option names.
struct OptionPath {
  /// The purpose of a path.
  enum Role {
    /// The pass reads it.
    case read
    /// The pass writes it.
    case write
    /// The pass reads an adapter from it, whose digests the output records.
    case adapter
  }

  let path: PathOption
  let role: Role
}
