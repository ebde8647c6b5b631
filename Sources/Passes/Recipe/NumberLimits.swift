/// The allowed values of a number in a recipe.
public enum NumberLimits: Sendable {
  /// This number or a larger one.
  case atLeast(Double)
  /// A larger number.
  case above(Double)
  /// Above the first number, at most the second.
  case aboveUpTo(Double, Double)
  /// In a range.
  case within(ClosedRange<Double>)

  func contains(_ value: Double) -> Bool {
    switch self {
    case .atLeast(let limit): value >= limit
    case .above(let limit): value > limit
    case .aboveUpTo(let lower, let upper): value > lower && value <= upper
    case .within(let range): range.contains(value)
    }
  }

  /// The limits as a phrase for messages.
  var phrase: String {
    switch self {
    case .atLeast(let limit): "of at least \(limit.shortText)"
    case .above(let limit): "above \(limit.shortText)"
    case .aboveUpTo(let lower, let upper): "above \(lower.shortText) and at most \(upper.shortText)"
    case .within(let range): "from \(range.lowerBound.shortText) to \(range.upperBound.shortText)"
    }
  }
}

extension NumberLimits {
  /// The limits as a phrase for tables.
  var tablePhrase: String {
    switch self {
    case .atLeast(let limit): "at least \(limit.shortText)"
    case .above(let limit): "above \(limit.shortText)"
    case .aboveUpTo(let lower, let upper): "above \(lower.shortText), at most \(upper.shortText)"
    case .within(let range): "\(range.lowerBound.shortText) to \(range.upperBound.shortText)"
    }
  }
}

extension Double {
  /// The number, without a fraction that is 0.
  var shortText: String { Int(exactly: self).map(String.init) ?? description }
}
