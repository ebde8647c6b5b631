public import Checkpoints

/// The values of an option: how they are read, written and described.
public struct OptionKind<Value>: Sendable {
  /// The type and range in words; literal words are in backticks.
  private(set) var type: String
  /// The form of the flag; nil if there is no flag.
  private(set) var flag: OptionFlag?
  let read: @Sendable (RecipeReader) throws -> Value
  let write: @Sendable (Value) -> JSONValue
  var paths: @Sendable (Value) -> [OptionPath] = { _ in [] }
  var movePaths: @Sendable (Value, (PathOption) -> PathOption) -> Value = { value, _ in value }

  init(
    _ type: String, flag: OptionFlag? = .value, read: @escaping @Sendable (RecipeReader) throws -> Value,
    write: @escaping @Sendable (Value) -> JSONValue
  ) {
    self.type = type
    self.flag = flag
    self.read = read
    self.write = write
  }

  /// Returns the same kind with another description.
  public func described(_ type: String) -> Self {
    var kind = self
    kind.type = type
    return kind
  }
}

extension OptionKind<Int> {
  /// A whole number in a range.
  public static func integer(in range: ClosedRange<Int>) -> Self {
    Self("integer, \(range.phrase)") {
      try $0.integer(in: range)
    } write: {
      .integer($0)
    }
  }

  /// One of a few whole numbers.
  public static func integer(among allowed: [Int]) -> Self {
    Self(allowed.alternatives()) {
      try $0.integer(among: allowed)
    } write: {
      .integer($0)
    }
  }
}

extension OptionKind<Int> {
  /// A number of bytes, with or without a decimal unit.
  public static var byteCount: Self {
    Self("size, such as `75MB`") {
      try $0.byteCount()
    } write: {
      .integer($0)
    }
  }
}

extension OptionKind<UInt64> {
  /// The seed of all random choices.
  public static var seed: Self {
    Self("integer, at least 0") {
      try $0.seed()
    } write: {
      .seed($0)
    }
  }
}

extension OptionKind<Double> {
  /// A finite number within limits.
  public static func number(_ limits: NumberLimits) -> Self {
    Self("number, \(limits.tablePhrase)") {
      try $0.number(limits)
    } write: {
      .double($0)
    }
  }
}

extension OptionKind<Bool> {
  /// A truth value.
  public static var toggle: Self {
    Self("`true`, `false`", flag: .toggle) {
      try $0.flag()
    } write: {
      .bool($0)
    }
  }
}

extension OptionKind where Value: RawRepresentable<String> & CaseIterable & Equatable & Sendable {
  /// One of the words of an enumeration.
  public static var word: Self {
    Self(Value.allWords) {
      try $0.choice()
    } write: {
      .string($0.rawValue)
    }
  }
}

extension OptionKind {
  /// Some words of an enumeration, without repetition.
  ///
  /// - Parameter nothing: The effect of an empty list, for the error: `trains nothing`.
  /// - Returns: The kind of a list of these words.
  public static func words<Word>(
    elseDoing nothing: String
  ) -> Self
  where Word: RawRepresentable<String> & CaseIterable & Equatable & Sendable, Value == [Word] {
    Self("list of \(Word.allWords), each once, at least one", flag: .list(repeated: false)) {
      try $0.choices(elseDoing: nothing)
    } write: {
      .array($0.map { .string($0.rawValue) })
    }
  }
}

extension RawRepresentable<String> where Self: CaseIterable {
  /// All words in backticks.
  static var allWords: String { allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ") }
}

extension OptionKind<DType> {
  /// The dtype of scales and biases, or of weights.
  public static var floatType: Self {
    Self("`f32`, `f16`, `bf16`") {
      try $0.tableType()
    } write: {
      .string($0.recipeWord)
    }
  }
}

extension OptionKind<PathOption> {
  /// A path that the pass reads.
  public static var path: Self { path(.read) }

  /// A path that the pass writes.
  public static var outputPath: Self { path(.write) }

  /// A PEFT adapter's folder, whose digests the output records.
  static var adapter: Self { path(.adapter) }

  private static func path(_ role: OptionPath.Role) -> Self {
    var kind = Self("path") {
      try $0.path()
    } write: {
      .recipeText($0.written)
    }
    kind.paths = { [OptionPath(path: $0, role: role)] }
    kind.movePaths = { path, move in move(path) }
    return kind
  }
}

extension OptionKind<TextList<PathOption>> {
  /// Texts that the pass reads; `null` means none.
  public static var texts: Self {
    var kind = Self(
      "path, or list of paths and of maps with `path` and `share`, each path once",
      flag: .list(repeated: true)
    ) {
      $0.node.isNull ? [] : try $0.texts()
    } write: {
      .texts($0)
    }
    kind.paths = { $0.map { OptionPath(path: $0, role: .read) } }
    kind.movePaths = { texts, move in texts.mapPaths(move) }
    return kind
  }
}

extension OptionKind<[ModulePattern]> {
  /// Patterns over module names.
  public static var patterns: Self {
    Self("patterns", flag: .list(repeated: false)) {
      try $0.patterns()
    } write: {
      .patterns($0)
    }
  }

  /// Patterns over module names, at least one.
  public static var targets: Self {
    Self("patterns, at least one", flag: .list(repeated: false)) {
      try $0.targets()
    } write: {
      .patterns($0)
    }
  }
}

extension ClosedRange<Int> {
  fileprivate var phrase: String {
    upperBound == .max ? "at least \(lowerBound)" : "\(lowerBound) to \(upperBound.formattedCount)"
  }
}
