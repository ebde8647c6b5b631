import Checkpoints

extension PassOption where Options: PassOptionValues {
  /// The flag as it is typed, without its dashes: `group-size`.
  package var flagName: String { key.replacing("_", with: "-") }

  /// What `--help` says: meaning, values and default.
  package var flagHelp: String {
    let values = type.replacing("`", with: "")
    let typed = isWordy ? ": \(values)" : ""
    let meaning = help.replacing("`", with: "")
    let standing = defaultWords.replacing("`", with: "")
    let byDefault = standing.isEmpty ? "" : " (default: \(standing))"
    return meaning.prefix(1).uppercased() + meaning.dropFirst() + typed + byDefault + "."
  }

  /// Whether help lists the values: for words and numbers, not for paths, patterns and truth values.
  private var isWordy: Bool {
    if case .toggle = flag { return false }
    return !type.hasPrefix("path") && !type.hasPrefix("pattern")
  }

  /// The default for help; nothing where there is none or it goes without saying.
  private var defaultWords: String {
    if let defaultPhrase { return defaultPhrase == "required" ? "" : defaultPhrase }
    let value = tableDefault
    return ["`null`", "`[]`", "`false`"].contains(value) ? "" : value
  }

  /// The default as `Formats/recipe.md` shows it.
  private var tableDefault: String {
    let value = write(Options())
    if let number = value.double { return number.shortText }
    if case .string(let word) = value { return "`\(word)`" }
    return "`\(value.compactText)`"
  }

  /// The row of a table: key, type and range, default, meaning.
  fileprivate var row: String {
    let value = tableDefault
    let byDefault = defaultPhrase.map { value == "`null`" && $0 != "required" ? "`null`: \($0)" : $0 } ?? value
    return "| `\(key)` | \(type) | \(byDefault) | \(help) |"
  }
}

extension PassOptionValues {
  /// The table of all options in `Formats/recipe.md`.
  package static var table: String {
    (["| key | type, range | default | meaning |", "| --- | --- | --- | --- |"] + declarations.map(\.row))
      .joined(separator: "\n")
  }
}
