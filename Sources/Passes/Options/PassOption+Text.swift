import Checkpoints

extension PassOption where Options: PassOptionValues {
  /// The flag without its dashes: `group-size`.
  package var flagName: String { key.replacing("_", with: "-") }

  /// The text for `--help`: the meaning, and in parentheses the values and the default.
  package var flagHelp: String {
    let standing = defaultWords.isEmpty ? nil : "default: \(defaultWords)"
    let remarks = [isWordy ? type : nil, standing].compactMap(\.self).joined(separator: "; ")
    let text = help + (remarks.isEmpty ? "" : " (\(remarks))") + "."
    let isName = text.hasPrefix("`")
    let plain = text.replacing("`", with: "")
    return isName ? plain : plain.prefix(1).uppercased() + plain.dropFirst()
  }

  /// Whether help lists the values: for words and numbers, not for paths, patterns and booleans.
  private var isWordy: Bool {
    if case .toggle = flag { return false }
    return !type.hasPrefix("path") && !type.hasPrefix("pattern")
  }

  /// The default for help; empty if there is none or it is obvious.
  private var defaultWords: String {
    if let defaultPhrase { return defaultPhrase == "required" ? "" : defaultPhrase }
    let value = tableDefault
    return ["`null`", "`[]`", "`false`"].contains(value) ? "" : value
  }

  /// The default as in `Formats/recipe.md`.
  private var tableDefault: String {
    let value = write(Options())
    if let number = value.double { return number.shortText }
    if case .string(let word) = value { return "`\(word)`" }
    return "`\(value.compactText)`"
  }

  /// The row of the table: key, type and range, default, meaning.
  fileprivate var row: String {
    let value = tableDefault
    let byDefault =
      defaultPhrase.map { value == "`null`" && $0 != "required" ? "`null`: \($0)" : $0 } ?? value
    return "| `\(key)` | \(type) | \(byDefault) | \(help) |"
  }
}

extension Pass {
  /// The table of all options, as in `Formats/recipe.md`.
  package static var optionTable: String {
    let head = ["| key | type, range | default | meaning |", "| --- | --- | --- | --- |"]
    return (head + Options.declarations.map(\.row)).joined(separator: "\n")
  }

  /// The flags of the command without their dashes.
  package static var flagNames: [String] {
    Options.declarations.filter { $0.flag != nil }.map(\.flagName)
  }
}
