/// A recipe that is built into the program; its source is the file of the same name in this folder.
///
/// `rilq recipes` lists the comment at the beginning of the file: a summary on the first line, then `takes:`
/// and `gives:`, each of which can continue in indented lines.
public struct BuiltInRecipe: Sendable {
  /// The name for `--recipe`: `fast`.
  public let name: String
  /// The text of the recipe.
  public let yaml: String

  /// Every recipe, the fastest first.
  public static let all = [
    BuiltInRecipe(name: "fast", bytes: PackageResources.fast_yaml),
    BuiltInRecipe(name: "balanced", bytes: PackageResources.balanced_yaml),
    BuiltInRecipe(name: "best", bytes: PackageResources.best_yaml),
  ]

  private init(name: String, bytes: [UInt8]) {
    self.name = name
    yaml = String(decoding: bytes, as: UTF8.self)
  }

  /// The purpose of the recipe in one line.
  public var summary: String { header.first ?? "" }
  /// The time and memory that the recipe takes.
  public var takes: String { entry("takes:") }
  /// The size and quality of the result.
  public var gives: String { entry("gives:") }

  /// The lines of the comment at the beginning, without comment marks.
  private var header: [String] {
    yaml.split(separator: "\n", omittingEmptySubsequences: false).prefix { $0.hasPrefix("#") }
      .map { line in String(line.dropFirst(line.hasPrefix("# ") ? 2 : 1)) }
  }

  private func entry(_ key: String) -> String {
    let lines = header.drop { !$0.hasPrefix(key) }
    guard let first = lines.first else { return "" }
    let rest = lines.dropFirst().prefix { $0.hasPrefix(" ") }
    return ([String(first.dropFirst(key.count))] + rest)
      .flatMap { $0.split(separator: " ") }.joined(separator: " ")
  }
}
