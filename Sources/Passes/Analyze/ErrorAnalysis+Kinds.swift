extension ErrorAnalysis {
  /// The linears of one kind, one of each layer, and their means.
  struct Kind {
    let name: String
    let linears: [LinearErrors]

    /// The mean of a value over the linears.
    func mean(_ value: (LinearErrors) -> Double) -> Double {
      linears.reduce(0) { $0 + value($1) } / Double(linears.count)
    }

    /// The mean of lists, as far as all of them go.
    func means(_ values: (LinearErrors) -> [Double]) -> [Double] {
      let lists = linears.map(values)
      let count = lists.map(\.count).min() ?? 0
      return (0..<count).map { i in lists.reduce(0) { $0 + $1[i] } / Double(lists.count) }
    }

    /// The mean share of the squared error that each rank holds, from rank 0.
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

  /// The linears by their kinds, in the order in which the kinds come first.
  var kinds: [Kind] {
    var names: [String] = []
    for linear in linears where !names.contains(linear.kind) { names.append(linear.kind) }
    return names.map { name in Kind(name: name, linears: linears.filter { $0.kind == name }) }
  }

  /// All linears as one kind.
  var all: Kind { Kind(name: "all", linears: linears) }

  /// The ranks that every linear has output errors for.
  package var commonRanks: [Int] {
    let count = linears.map(\.outputRanks.count).min() ?? 0
    return Array(LinearErrors.ranks.prefix(count))
  }

  /// The linears that have an adapter, as one kind; nil when there are none.
  var adapted: Kind? {
    let adapted = linears.filter { $0.adapter != nil }
    return adapted.isEmpty ? nil : Kind(name: "adapted", linears: adapted)
  }
}
