extension ErrorAnalysis {
  /// The linears of one kind, one per layer, and their means.
  struct Kind {
    let name: String
    let linears: [LinearErrors]

    /// Returns the mean of a value over the linears.
    func mean(_ value: (LinearErrors) -> Double) -> Double {
      linears.reduce(0) { $0 + value($1) } / Double(linears.count)
    }

    /// Returns the element-wise mean of lists, up to the length of the shortest one.
    func means(_ values: (LinearErrors) -> [Double]) -> [Double] {
      let lists = linears.map(values)
      let count = lists.map(\.count).min() ?? 0
      return (0..<count).map { i in lists.reduce(0) { $0 + $1[i] } / Double(lists.count) }
    }

    /// The mean share of the squared error that each rank captures, from rank 0.
    var energyByRank: [Double] {
      means { linear in
        let total = max(
          linear.singularValues.reduce(0) { $0 + $1 * $1 }, .leastNormalMagnitude)
        var sum = 0.0
        return [0]
          + linear.singularValues.map { value in
            sum += value * value
            return sum / total
          }
      }
    }
  }

  /// The linears by kind, in the order in which the kinds first occur.
  var kinds: [Kind] {
    var names: [String] = []
    for linear in linears where !names.contains(linear.kind) { names.append(linear.kind) }
    return names.map { name in Kind(name: name, linears: linears.filter { $0.kind == name }) }
  }

  /// All linears as one kind.
  var all: Kind { Kind(name: "all", linears: linears) }

  /// The ranks for which every linear has output errors.
  package var commonRanks: [Int] {
    let count = linears.map(\.outputRanks.count).min() ?? 0
    return Array(LinearErrors.ranks.prefix(count))
  }

  /// The linears with an adapter, as one kind; nil when there are none.
  var adapted: Kind? {
    let adapted = linears.filter { $0.adapter != nil }
    return adapted.isEmpty ? nil : Kind(name: "adapted", linears: adapted)
  }
}
