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
  /// The patterns select modules that are packed with few enough bits already, and no others.
  case alreadyPacked
  /// The group size, or the block of a grid, does not divide the columns of a tensor; `fitting` lists group
  /// sizes that do.
  case divisibility(tensor: String, columns: Int, groupSize: Int, grid: String? = nil, fitting: [Int])
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
    case .alreadyPacked: "nothing is left to quantize, the selected modules are packed already"
    case .divisibility(let tensor, let columns, let groupSize, let grid, let fitting):
      "tensor '\(tensor.escapedForDisplay)': \(columns) columns are not a multiple of "
        + (grid.map { "\(groupSize), the block of \($0)" } ?? "the group size \(groupSize)")
        + (fitting.isEmpty
          ? ", nor of any other"
          : "; \(grid == nil ? "" : "groups of ")\(fitting.alternatives(joinedBy: "and")) would fit")
    case .notFinite(let tensor, let index):
      "tensor '\(tensor.escapedForDisplay)': value \(index) is not finite"
    }
  }
}
