import Checkpoints

/// The place of a value in a recipe or on the command line.
public struct RecipePlace: Equatable, Sendable, CustomStringConvertible {
  /// The line of the recipe, or the argument that replaced the value.
  public enum Origin: Equatable, Sendable {
    /// A line of the file, counted from 1.
    case line(Int)
    /// A command line argument as typed: `--set passes.0.quantize.bits=3`.
    case argument(String)
  }

  /// The recipe's path, or nil when everything comes from flags.
  public let path: String?
  /// The line or the argument.
  public let origin: Origin?
  /// The path of keys and indices to the value: `passes.0.quantize.bits`.
  public let key: String?

  /// Names a place.
  public init(path: String?, origin: Origin?, key: String? = nil) {
    self.path = path
    self.origin = origin
    self.key = key
  }

  /// The place as the beginning of a message: `recipe.yaml: line 4: key 'passes.0.quantize.bits'`.
  public var description: String {
    var parts: [String] = []
    if let path { parts.append(path) }
    switch origin {
    case .line(let line): parts.append("line \(line)")
    case .argument(let text): parts.append(text)
    case nil: break
    }
    if let key { parts.append("key '\(key)'") }
    return parts.joined(separator: ": ").escapedForDisplay
  }
}
