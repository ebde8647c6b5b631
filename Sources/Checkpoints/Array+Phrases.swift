extension Array {
  /// Joins the elements to a phrase: `2, 3 or 4`.
  package func alternatives(joinedBy word: String = "or") -> String {
    guard let last, count > 1 else { return first.map { "\($0)" } ?? "" }
    return dropLast().map { "\($0)" }.joined(separator: ", ") + " \(word) \(last)"
  }
}
