import Checkpoints

/// A cursor at one value of a recipe; reads it as a type or throws an error with the place.
struct RecipeReader {
  let node: RecipeNode
  /// The recipe's path; nil when the value comes from flags.
  let recipePath: String?
  /// The path of keys and indices to the value, empty at the root.
  let key: String

  var place: RecipePlace {
    RecipePlace(path: recipePath, origin: node.origin, key: key.isEmpty ? nil : key)
  }

  /// An error at this value.
  func failure(_ reason: String) -> PassError { .recipe(place, reason) }

  private func mismatch(_ expected: String) -> PassError {
    failure("is \(node.phrase), expected \(expected)")
  }

  private func child(_ name: String, _ node: RecipeNode) -> RecipeReader {
    RecipeReader(node: node, recipePath: recipePath, key: key.appendingKey(name))
  }

  /// Reads a map with no other keys than these.
  func map(keys: [String]) throws -> RecipeMap {
    let map = try anyMap(of: "a map of \(keys.alternatives(joinedBy: "and"))")
    for member in map.members where !keys.contains(member.name) {
      throw PassError.recipe(member.keyPlace, unknownName(member.name, "such key", among: keys))
    }
    return map
  }

  /// Reads a map with any keys.
  func anyMap(of expected: String) throws -> RecipeMap {
    guard case .map(let members) = node.value else { throw mismatch(expected) }
    return RecipeMap(
      reader: self,
      members: members.map { member in
        let value = child(member.key, member.value)
        let place = RecipePlace(path: recipePath, origin: member.keyOrigin, key: value.key)
        return RecipeMap.Member(name: member.key, keyPlace: place, value: value)
      })
  }

  /// Reads the elements of a list.
  func list(of expected: String) throws -> [RecipeReader] {
    guard case .list(let elements) = node.value else { throw mismatch("a list of \(expected)") }
    return elements.enumerated().map { i, element in child("\(i)", element) }
  }

  /// Reads text that is not empty; a number or boolean is text only in quotes.
  func text(_ expected: String = "text") throws -> String {
    guard case .scalar(let text, let style) = node.value else { throw mismatch(expected) }
    if style == .plain, text.isTypedScalar {
      throw mismatch(text.isEmpty ? expected : "\(expected); quotes make it text")
    }
    guard !text.isEmpty else { throw failure("is empty, expected \(expected)") }
    guard !text.unicodeScalars.contains("\0") else { throw failure("has a NUL character") }
    return text
  }

  /// Reads a path.
  ///
  /// Relative paths start at the recipe's folder, or at the current folder if given as an argument.
  func path() throws -> PathOption {
    let text = try text("a path")
    if case .line = node.origin { return PathOption(text, in: recipePath?.folderOfPath ?? "") }
    return PathOption(text)
  }

  /// Reads a path or a list of distinct paths, some with a share; an empty list means no text.
  func texts() throws -> TextList<PathOption> {
    guard case .list = node.value else { return [try path()] }
    var texts: [(path: PathOption, share: Int)] = []
    for element in try list(of: "paths") {
      let text = try element.sharedText()
      guard !texts.contains(where: { $0.path.resolved == text.path.resolved }) else {
        throw element.failure("is '\(text.path.written)' again")
      }
      texts.append(text)
    }
    return TextList(texts)
  }

  /// Reads a path, or a map of a path and its share.
  private func sharedText() throws -> (path: PathOption, share: Int) {
    guard case .map = node.value else { return (try path(), 1) }
    let map = try map(keys: ["path", "share"])
    let share = try map.value("share", default: 1) {
      try $0.integer(in: 1...TextList<PathOption>.shareLimit)
    }
    return (try map.required("path").path(), share)
  }

  /// Reads a whole number in a range.
  func integer(in range: ClosedRange<Int>) throws -> Int {
    let expected = "an integer " + range.phrase
    guard let value = unquoted.flatMap({ $0.isInteger ? Int($0) : nil }), range.contains(value) else {
      throw mismatch(expected)
    }
    return value
  }

  /// Reads one of a few whole numbers.
  func integer(among allowed: [Int]) throws -> Int {
    guard let value = unquoted.flatMap({ $0.isInteger ? Int($0) : nil }), allowed.contains(value) else {
      throw mismatch(allowed.alternatives())
    }
    return value
  }

  /// Reads a number of bytes with or without a unit.
  func byteCount() throws -> Int {
    guard case .scalar(let text, _) = node.value, let count = Int(size: text) else {
      throw mismatch("a size such as 75MB")
    }
    return count
  }

  /// Reads a seed.
  func seed() throws -> UInt64 { UInt64(try integer(in: 0...Int.max)) }

  /// Reads a finite number within limits.
  func number(_ limits: NumberLimits) throws -> Double {
    guard let value = unquoted.flatMap({ $0.isNumber ? Double($0) : nil }), value.isFinite,
      limits.contains(value)
    else {
      throw mismatch("a number \(limits.phrase)")
    }
    return value
  }

  /// Reads a boolean.
  func flag() throws -> Bool {
    switch unquoted {
    case "true": return true
    case "false": return false
    default: throw mismatch("true or false")
    }
  }

  /// Reads one of a few words.
  func choice<Choice>(_ choices: [(word: String, value: Choice)]) throws -> Choice {
    guard case .scalar(let text, _) = node.value, let choice = choices.first(where: { $0.word == text })
    else {
      throw mismatch(choices.map(\.word).alternatives())
    }
    return choice.value
  }

  /// Reads one case of an enumeration.
  func choice<Choice: RawRepresentable<String> & CaseIterable>() throws -> Choice {
    try choice(Choice.allCases.map { (word: $0.rawValue, value: $0) })
  }

  /// Reads distinct cases of an enumeration, at least one.
  ///
  /// - Parameter nothing: The effect of an empty list, for the error: `trains nothing`.
  /// - Returns: The cases in order.
  /// - Throws: `PassError.recipe`.
  func choices<Choice: RawRepresentable<String> & CaseIterable & Equatable>(
    elseDoing nothing: String
  ) throws -> [Choice] {
    var chosen: [Choice] = []
    for element in try list(of: Choice.allCases.map(\.rawValue).alternatives(joinedBy: "and")) {
      let choice: Choice = try element.choice()
      guard !chosen.contains(choice) else { throw element.failure("is '\(choice.rawValue)' again") }
      chosen.append(choice)
    }
    guard !chosen.isEmpty else { throw failure("is an empty list, which \(nothing)") }
    return chosen
  }

  /// Reads the dtype of scales and biases, or of weights.
  func tableType() throws -> DType {
    try choice([DType.f32, .f16, .bf16].map { (word: $0.recipeWord, value: $0) })
  }

  /// Reads a list of patterns over module names.
  func patterns() throws -> [ModulePattern] {
    try list(of: "patterns").map { try ModulePattern($0.text("a pattern"), at: $0.place) }
  }

  /// Reads a list of at least one pattern.
  func targets() throws -> [ModulePattern] {
    let patterns = try patterns()
    guard !patterns.isEmpty else { throw failure("is an empty list, which selects nothing") }
    return patterns
  }

  private var unquoted: String? {
    guard case .scalar(let text, let style) = node.value, style != .quoted else { return nil }
    return text
  }
}

extension DType {
  /// The name in recipes.
  var recipeWord: String { rawValue.lowercased() }
}

extension ClosedRange<Int> {
  fileprivate var phrase: String {
    upperBound == .max ? "of at least \(lowerBound)" : "from \(lowerBound) to \(upperBound)"
  }
}
