/// A recipe that is built into the program; the file of its name in this folder is its source.
///
/// The comment at the beginning of the file is what is listed: a summary on the first line, then `takes:` and
/// `gives:`, each of which may go on in indented lines.
public struct BuiltInRecipe: Sendable {
  /// What `--recipe` takes: `fast`.
  public let name: String
  /// The recipe.
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

  /// What the recipe is for, in a line.
  public var summary: String { header.first ?? "" }
  /// The time and memory that it takes.
  public var takes: String { entry("takes:") }
  /// The size and quality that it gives.
  public var gives: String { entry("gives:") }

  /// The lines of the comment at the beginning, without their marks.
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
