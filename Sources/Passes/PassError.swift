import Checkpoints

/// Why a pass or a recipe cannot go on, or which check it failed.
public enum PassError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The command is used wrongly, worded by the caller.
  case usage(String)
  /// A recipe, or a flag that stands for one of its keys, is wrong at a place.
  case recipe(RecipePlace, String)
  /// A pattern selects nothing; silently doing nothing is never right.
  case unmatchedPattern(String, at: RecipePlace?, nearest: String?)
  /// The patterns leave nothing to work on.
  case emptySelection
  /// The columns of a tensor are no multiple of the group size; `fitting` are the sizes that would do.
  case divisibility(tensor: String, columns: Int, groupSize: Int, fitting: [Int])
  /// A tensor has a NaN or an infinity, at the element of that index in row-major order.
  case notFinite(tensor: String, index: Int)
  /// The result cannot be represented exactly, and nobody allowed a loss.
  case notExact(String)
  /// A check was done and not passed.
  case checkFailed(String)

  /// What went wrong on one line; names are escaped.
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
      "tensor '\(tensor.escapedForDisplay)': \(columns) columns are no multiple of the group size \(groupSize)"
        + (fitting.isEmpty ? ", nor of any other" : "; \(fitting.alternatives(joinedBy: "and")) would fit")
    case .notFinite(let tensor, let index):
      "tensor '\(tensor.escapedForDisplay)': value \(index) is not finite"
    }
  }
}

extension Array {
  /// The elements as a phrase: `2, 3 or 4`.
  package func alternatives(joinedBy word: String = "or") -> String {
    guard let last, count > 1 else { return first.map { "\($0)" } ?? "" }
    return dropLast().map { "\($0)" }.joined(separator: ", ") + " \(word) \(last)"
  }
}
