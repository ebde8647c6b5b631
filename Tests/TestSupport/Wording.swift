extension String {
  /// Checks that a message says what it must, without pinning its wording.
  ///
  /// - Parameter pattern: The parts of the message in order, with `…` for any text between them, even none.
  ///   Without `…` at an end, the message begins or ends with that part. Write out places; of a reason, write
  ///   only names, numbers and key words: `config.json: key 'bits': … 7 … 2, 3, 4, 5, 6 or 8`.
  /// - Returns: Whether the message has all parts.
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
  /// Whether there is a message and it has all parts; see `String.says`.
  package func says(_ pattern: String) -> Bool { map { $0.says(pattern) } ?? false }
}

extension Substring {
  fileprivate var trimmed: Substring {
    let start = firstIndex { $0 != " " } ?? endIndex
    let end = lastIndex { $0 != " " }.map(index(after:)) ?? start
    return self[start..<end]
  }
}
