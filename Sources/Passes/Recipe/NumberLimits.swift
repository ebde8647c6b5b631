/// The values a number of a recipe may have.
enum NumberLimits {
  case atLeast(Double)
  case above(Double)
  /// Greater than the first, at most the second.
  case aboveUpTo(Double, Double)
  case within(ClosedRange<Double>)

  func contains(_ value: Double) -> Bool {
    switch self {
    case .atLeast(let limit): value >= limit
    case .above(let limit): value > limit
    case .aboveUpTo(let lower, let upper): value > lower && value <= upper
    case .within(let range): range.contains(value)
    }
  }

  /// The limits in the words of a message.
  var phrase: String {
    switch self {
    case .atLeast(let limit): "of at least \(limit.shortText)"
    case .above(let limit): "above \(limit.shortText)"
    case .aboveUpTo(let lower, let upper): "above \(lower.shortText) and at most \(upper.shortText)"
    case .within(let range): "from \(range.lowerBound.shortText) to \(range.upperBound.shortText)"
    }
  }
}

extension Double {
  fileprivate var shortText: String { Int(exactly: self).map(String.init) ?? description }
}
