package import Checkpoints
import Models

extension CheckpointDifference {
  /// The maximum number of lines of an abridged list; the worst come first.
  private static let lineLimit = 12

  /// The JSON document for programs.
  package var json: JSONValue {
    .object([
      JSONValue.Member("equal", .bool(isWithinTolerance)),
      JSONValue.Member("same_files", .bool(hasSameFiles)),
      JSONValue.Member("first", .string(paths.first)), JSONValue.Member("second", .string(paths.second)),
      JSONValue.Member("tolerance", .double(tolerance)),
      JSONValue.Member("only_in_first", Self.list(tensors.inFirst)),
      JSONValue.Member("only_in_second", Self.list(tensors.inSecond)),
      JSONValue.Member("tensors", .array(pairs.map { $0.json(tolerance) })),
      JSONValue.Member("files_only_in_first", Self.list(assets.inFirst)),
      JSONValue.Member("files_only_in_second", Self.list(assets.inSecond)),
      JSONValue.Member("files_differing", Self.list(differingAssets)),
      JSONValue.Member("metadata_differing", Self.list(differingMetadata)),
    ])
  }

  private static func list(_ names: [String]) -> JSONValue { .array(names.map(JSONValue.string)) }

  /// Returns the report as text.
  ///
  /// - Parameter showsAll: Whether to list equal tensors too.
  /// - Returns: The lines; the last one is the verdict.
  package func text(showsAll: Bool = false) -> String {
    let limit = showsAll ? Int.max : Self.lineLimit
    var lines = Self.only(in: paths.first, tensors.inFirst, limit: limit)
    lines += Self.only(in: paths.second, tensors.inSecond, limit: limit)
    let differing = pairs.filter { !$0.isEqual }.sorted { $0.rank > $1.rank }
    lines += Self.table(showsAll ? pairs : Array(differing.prefix(limit))).text
    lines += Self.rest(of: differing.count, limit: limit)
    lines += fileLines
    lines.append(verdict)
    return lines.joined(separator: "\n")
  }

  private static func only(in path: String, _ names: [String], limit: Int) -> [String] {
    names.prefix(limit).map { "only in \(path.escapedForDisplay): \($0.escapedForDisplay)" }
      + rest(of: names.count, limit: limit)
  }

  private static func rest(of count: Int, limit: Int) -> [String] {
    count > limit ? ["... \((count - limit).formattedCount) more, which --all lists"] : []
  }

  private static func table(_ pairs: [Pair]) -> TextTable {
    var table = TextTable(rightAligned: [false, false, true, true, true, true, true])
    guard !pairs.isEmpty else { return table }
    table.add(["tensor", "stored as", "max error", "mean", "relative", "cosine", "differing"])
    for pair in pairs { table.add(pair.cells) }
    return table
  }

  private var fileLines: [String] {
    var lines: [String] = []
    if !hasSameFiles {
      let names = assets.inFirst.map { "-\($0)" } + assets.inSecond.map { "+\($0)" } + differingAssets
      lines.append(
        "other files (- first only, + second only): " + names.joined(separator: ", ").escapedForDisplay)
    }
    if !differingMetadata.isEmpty {
      lines.append("other metadata: " + differingMetadata.joined(separator: ", ").escapedForDisplay)
    }
    return lines
  }

  private var verdict: String {
    let equal = pairs.count(where: \.isEqual)
    let missing = tensors.inFirst.count + tensors.inSecond.count
    let differing = pairs.count - equal
    var parts = ["\(counted(equal, "tensor")) equal"]
    if differing > 0 {
      let beyond = pairs.count { !$0.isWithin(tolerance) }
      parts.append(
        tolerance > 0
          ? "\(differing.formattedCount) different, \(beyond.formattedCount) beyond a relative error of \(tolerance.formattedShort)"
          : "\(differing.formattedCount) different")
    }
    if missing > 0 { parts.append("\(missing.formattedCount) in one checkpoint only") }
    return (isWithinTolerance ? (differing == 0 ? "equal: " : "within tolerance: ") : "DIFFERENT: ")
      + parts.joined(separator: ", ")
  }
}

extension CheckpointDifference.Pair {
  /// Whether shapes and all values are equal.
  package var isEqual: Bool { isWithin(0) }

  /// The sort key; larger is worse.
  fileprivate var rank: Double {
    values.map { $0.incomparableCount > 0 ? .infinity : $0.relativeError } ?? .infinity
  }

  fileprivate var cells: [String] {
    let storage = first.storage == second.storage ? first.storage : "\(first.storage) | \(second.storage)"
    guard let values else { return [first.name, "\(first.shape) | \(second.shape)"] }
    let share = 100 * Double(values.differingCount) / Double(max(values.count, 1))
    return [
      first.name, storage, values.maxError.formattedShort, values.meanError.formattedShort,
      values.relativeError.formattedShort,
      values.differingCount == 0 ? "1" : values.cosine.formatted(decimals: 6),
      "\(values.differingCount.formattedCount) (\(share.formatted(decimals: 1)) %)",
    ]
  }

  fileprivate func json(_ tolerance: Double) -> JSONValue {
    var members = [
      JSONValue.Member("name", .string(first.name)), JSONValue.Member("equal", .bool(isWithin(tolerance))),
      JSONValue.Member("shapes", .array([first, second].map { .array($0.shape.map(JSONValue.integer)) })),
      JSONValue.Member("storage", .array([first, second].map { .string($0.storage) })),
    ]
    guard let values else { return .object(members) }
    members += [
      JSONValue.Member("max_error", .double(values.maxError)),
      JSONValue.Member("mean_error", .double(values.meanError)),
      JSONValue.Member("relative_error", .double(values.relativeError)),
      JSONValue.Member("cosine", .double(values.cosine)),
      JSONValue.Member("differing", .integer(values.differingCount)),
      JSONValue.Member("incomparable", .integer(values.incomparableCount)),
      JSONValue.Member("count", .integer(values.count)),
    ]
    return .object(members)
  }
}
