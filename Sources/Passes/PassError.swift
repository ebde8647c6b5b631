import Checkpoints

/// The reason why a pass or a recipe cannot continue, or the check that failed.
public enum PassError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The command is used wrongly; the caller words the message.
  case usage(String)
  /// A recipe, or a flag that sets one of its keys, is wrong at a place.
  case recipe(RecipePlace, String)
  /// A pattern selects nothing, which is always a mistake.
  case unmatchedPattern(String, at: RecipePlace?, nearest: String?)
  /// The patterns select no module.
  case emptySelection
  /// The group size does not divide the columns of a tensor; `fitting` lists sizes that do.
  case divisibility(tensor: String, columns: Int, groupSize: Int, fitting: [Int])
  /// A tensor has a NaN or an infinity at an index in row-major order.
  case notFinite(tensor: String, index: Int)
  /// The result cannot be represented exactly, and no loss is allowed.
  case notExact(String)
  /// A check failed.
  case checkFailed(String)

  /// The message as one line; names are escaped.
  public var description: String {
    switch self {
    case .usage(let reason), .notExact(let reason), .checkFailed(let reason):
      reason.escapedForDisplay
    case .recipe(let place, let reason): "\(place): \(reason.escapedForDisplay)"
    case .unmatchedPattern(let pattern, let place, let nearest):
      (place.map { "\($0): " } ?? "") + "pattern '\(pattern.escapedForDisplay)' matches no module"
        + (nearest.map { ", the nearest is '\($0.escapedForDisplay)'" } ?? "")
    case .emptySelection: "targets and ignore leave no module to work on"
    case .divisibility(let tensor, let columns, let groupSize, let fitting):
      "tensor '\(tensor.escapedForDisplay)': \(columns) columns are not a multiple of the group size \(groupSize)"
        + (fitting.isEmpty ? ", nor of any other" : "; \(fitting.alternatives(joinedBy: "and")) would fit")
    case .notFinite(let tensor, let index):
      "tensor '\(tensor.escapedForDisplay)': value \(index) is not finite"
    }
  }
}

extension Array {
  /// Joins the elements to a phrase: `2, 3 or 4`.
  package func alternatives(joinedBy word: String = "or") -> String {
    guard let last, count > 1 else { return first.map { "\($0)" } ?? "" }
    return dropLast().map { "\($0)" }.joined(separator: ", ") + " \(word) \(last)"
  }
}
