extension String {
  /// Compares a message with what it must say, however it is worded.
  ///
  /// - Parameter pattern: What stands in the message in this order, with `…` for any text between, also none. Without a
  ///   `…` at an end the message begins or ends so. A place is written out, of a reason only names, numbers and key
  ///   words: `config.json: key 'bits': … 5 … 2, 3, 4 or 8`.
  /// - Returns: Whether the message says all of it.
  package func says(_ pattern: String) -> Bool {
    let pieces = pattern.split(separator: "…", omittingEmptySubsequences: false).map { $0.trimmed }
    guard let first = pieces.first, let last = pieces.last, hasPrefix(first), hasSuffix(last) else {
      return false
    }
    guard pieces.count > 1 else { return self == pattern }
    var rest = dropFirst(first.count)
    for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
      guard let range = rest.firstRange(of: piece) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.count >= last.count
  }
}

extension String? {
  /// Whether there is a message and it says what it must; see `String.says`.
  package func says(_ pattern: String) -> Bool { map { $0.says(pattern) } ?? false }
}

extension Substring {
  fileprivate var trimmed: Substring {
    let start = firstIndex { $0 != " " } ?? endIndex
    let end = lastIndex { $0 != " " }.map(index(after:)) ?? start
    return self[start..<end]
  }
}
