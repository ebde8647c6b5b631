import Checkpoints

/// The declaration of one option: how it is written, read, checked and explained.
///
/// The default is that of the property.
public struct PassOption<Options: Sendable>: Sendable {
  /// The key in recipes: `group_size`; as a flag `--group-size`.
  public let key: String
  /// What the option means, as a phrase that begins in lower case.
  public let help: String
  /// How a flag gives it; nil when only recipes can.
  package private(set) var flag: OptionFlag?
  /// The words for type and range, as in `Formats/recipe.md`.
  let type: String
  /// The words for the default where the value alone does not say it.
  private(set) var defaultPhrase: String?
  let read: @Sendable (RecipeReader, inout Options) throws -> Void
  let write: @Sendable (Options) -> JSONValue
  let paths: @Sendable (Options) -> [OptionPath]
  let movePaths: @Sendable (inout Options, (PathOption) -> PathOption) -> Void
  /// Whether the option has an effect, so that it is written.
  private(set) var isWritten: @Sendable (Options) -> Bool = { _ in true }

  /// Declares an option.
  ///
  /// - Parameters:
  ///   - key: Its key in recipes, in snake case.
  ///   - property: Where the value is.
  ///   - kind: What values there are.
  ///   - help: What it means, as a phrase that begins in lower case.
  ///   - narrowed: The values that are allowed beside the options read before; nil allows all of `kind`.
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

  /// Declares an option that may be `null`, its default.
  ///
  /// - Parameters:
  ///   - key: Its key in recipes, in snake case.
  ///   - property: Where the value is.
  ///   - kind: What values there are besides `null`.
  ///   - help: What it means, as a phrase that begins in lower case.
  ///   - narrowed: The values that are allowed beside the options read before; nil allows all of `kind`.
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

  /// The same option, written only where a condition holds: where it has an effect.
  public func when(_ condition: @escaping @Sendable (Options) -> Bool) -> Self {
    var option = self
    let before = isWritten
    option.isWritten = { before($0) && condition($0) }
    return option
  }

  /// The same option, whose default is explained by a phrase.
  public func byDefault(_ phrase: String) -> Self {
    var option = self
    option.defaultPhrase = phrase
    return option
  }

  /// The same option, which has no flag.
  public func inRecipesOnly() -> Self {
    var option = self
    option.flag = nil
    return option
  }
}

/// How a flag gives an option.
package enum OptionFlag: Sendable {
  /// One value.
  case value
  /// A list: the flag is repeated, or has several values.
  case list(repeated: Bool)
  /// Entries `name=value`, described by a word for the help.
  case map(entry: String)
  /// A truth value: the flag alone means true.
  case toggle
}

/// A file or folder that an option names.
struct OptionPath {
  /// What the pass does with it.
  enum Role {
    /// Reads it.
    case read
    /// Writes it.
    case write
    /// Reads an adapter from it, whose digests the output records.
    case adapter
  }

  let path: PathOption
  let role: Role
}
