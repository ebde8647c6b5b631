/// The modules that an `adapter_config.json` adapts.
///
/// Source: the selection of PEFT 0.21; `Formats/peft.md` has the rules.
struct PeftTargets: Sendable {
  /// A selection of names.
  enum Names: Sendable {
    /// Names, and parts of names after a dot.
    case ends([String])
    /// An expression over whole names.
    case expression(PeftExpression)
    /// Every linear but the output head.
    case allLinear
  }

  let targets: Names
  private let excluded: Names?
  private let saved: [PeftExpression]
  private let layers: Set<Int>?
  /// The components of names that precede the number of a layer.
  private let layerNames: [String]

  /// Reads the keys that select modules.
  ///
  /// - Throws: `FormatError` with the key.
  init(_ document: PeftDocument) throws(FormatError) {
    guard let targets = try Self.names("target_modules", document) else {
      throw document.error("target_modules", .missing("a list of modules or an expression"))
    }
    self.targets = targets
    excluded = try Self.names("exclude_modules", document)
    saved = try document.expressions("modules_to_save")
    layers = try Self.layers(document)
    layerNames = try Self.layerNames(document)
    guard layers == nil || targets.isList else {
      throw document.error("layers_to_transform", .malformed("goes with a list of target_modules only"))
    }
    guard layerNames.isEmpty || layers != nil else {
      throw document.error("layers_pattern", .malformed("goes with layers_to_transform only"))
    }
  }

  /// The total cost of the expressions per character of a name.
  var stepCount: Int {
    [targets, excluded].reduce(0) { $0 + ($1?.stepCount ?? 0) } + saved.reduce(0) { $0 + $1.stepCount }
  }

  /// A test for module names; reuse it for many names.
  func matcher() -> (String) -> Bool {
    let isTarget = targets.matcher()
    let isExcluded = excluded?.matcher() ?? { _ in false }
    let isSaved = saved.map { $0.componentMatcher() }
    let isInLayers = layerTest()
    return { name in
      isTarget(name) && !isExcluded(name) && !isSaved.contains { $0(name) } && isInLayers(name)
    }
  }

  /// A test whether a module is in one of the chosen layers; a module that is named in full always passes.
  private func layerTest() -> (String) -> Bool {
    guard let layers, case .ends(let names) = targets else { return { _ in true } }
    let fullNames = Set(names)
    return { [layerNames] name in
      if fullNames.contains(name) { return true }
      let layer =
        layerNames.isEmpty
        ? firstNumber(in: name) : layerNames.lazy.compactMap { number(after: $0, in: name) }.first
      return layer.map(layers.contains) ?? false
    }
  }
}

/// The first component that is a number, ignoring the first two components and the last one.
private func firstNumber(in name: String) -> Int? {
  let parts = name.split(separator: ".", omittingEmptySubsequences: false)
  return parts.dropFirst(2).dropLast().first { !$0.isEmpty && $0.utf8.allSatisfy(\.isDigit) }
    .flatMap { Int($0) }
}

/// The number that follows a component, unless it ends the name: `layers` gives 3 for `model.layers.3.mlp`.
private func number(after component: String, in name: String) -> Int? {
  let parts = name.split(separator: ".", omittingEmptySubsequences: false)
  let numbers = zip(parts, parts.dropFirst()).dropLast().lazy
  return numbers.first { $0 == component && !$1.isEmpty && $1.utf8.allSatisfy(\.isDigit) }.flatMap { Int($1) }
}

extension UInt8 {
  fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}

extension PeftTargets {
  private static func names(_ key: String, _ document: PeftDocument) throws(FormatError) -> Names? {
    switch document[key] {
    case nil, .null, .array([]): return nil
    case .string(let text) where text.lowercased() == "all-linear" && key == "target_modules":
      return .allLinear
    case .string(let text): return .expression(try PeftExpression(text, key: key, path: document.path))
    default: return .ends(try document.texts(key))
    }
  }

  /// The entries of `layers_pattern`, each one component of a name.
  private static func layerNames(_ document: PeftDocument) throws(FormatError) -> [String] {
    let names = try document.texts("layers_pattern")
    if let name = names.first(where: { !$0.utf8.allSatisfy(\.isWordCharacter) }) {
      throw document.error(
        "layers_pattern",
        .unsupported("'\(name)' is not supported; a name of letters, digits and '_' is expected"))
    }
    return names
  }

  private static func layers(_ document: PeftDocument) throws(FormatError) -> Set<Int>? {
    let key = "layers_to_transform"
    switch document[key] {
    case nil, .null, .array([]): return nil
    case .number(let text)?:
      guard let layer = Int(text) else { throw document.error(key, .malformed("is not an integer")) }
      return [layer]
    case let value:
      let numbers = (value?.array ?? []).compactMap(\.integer)
      guard let list = value?.array, numbers.count == list.count else {
        throw document.error(key, .malformed("is not a list of integers"))
      }
      return Set(numbers)
    }
  }
}

extension PeftTargets.Names {
  fileprivate var stepCount: Int {
    if case .expression(let expression) = self { expression.stepCount } else { 0 }
  }

  fileprivate var isList: Bool {
    if case .ends = self { true } else { false }
  }

  fileprivate func matcher() -> (String) -> Bool {
    switch self {
    case .expression(let expression): return expression.wholeNameMatcher()
    case .allLinear: return isLinearByName
    case .ends(let names):
      let fullNames = Set(names)
      let ends = names.map { "." + $0 }
      return { name in fullNames.contains(name) || ends.contains { name.hasByteSuffix($0) } }
    }
  }
}

/// Whether a module with a matrix is a linear and not the output head, judging by its name.
private func isLinearByName(_ name: String) -> Bool {
  !PeftModule.isEmbedding(name) && !PeftModule.isHead(name)
}
