import ArgumentParser

extension RawRepresentable where Self: CaseIterable, RawValue == String {
  /// Returns the value that an argument names.
  ///
  /// - Throws: `ValidationError`, with all names.
  static func named(_ text: String) throws -> Self {
    guard let value = Self(rawValue: text) else {
      throw ValidationError("expected \(allCases.map(\.rawValue).joined(separator: " or "))")
    }
    return value
  }
}
