/// The minimum number of insertions, deletions, replacements and swaps of neighbours that turn one text into
/// the other.
///
/// - Source: optimal string alignment distance; on UTF-8 bytes, in three rows of memory.
package func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first.utf8)
  let b = Array(second.utf8)
  guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
  var beforeLast: [Int] = []
  var last = Array(0...b.count)
  for i in 1...a.count {
    var row = [i]
    for j in 1...b.count {
      let replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
      var distance = min(replaced, last[j] + 1, row[j - 1] + 1)
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
        distance = min(distance, beforeLast[j - 2] + 1)
      }
      row.append(distance)
    }
    (beforeLast, last) = (last, row)
  }
  return last[b.count]
}

/// Returns the name with the smallest edit distance, the first of equals; nil when there are no names.
package func nearestName(to name: String, among names: [String]) -> String? {
  names.map { (name: $0, distance: editDistance(name, $0)) }.min { $0.distance < $1.distance }?.name
}
