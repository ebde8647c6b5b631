import Passes

extension [PassFlag] {
  /// The flags that were given.
  ///
  /// - Parameters:
  ///   - values: Keys with their values; nil was not given.
  ///   - lists: Keys with their lists; an empty one was not given.
  ///   - maps: Keys with their entries; none was not given.
  ///   - switches: Keys with whether they were given.
  /// - Returns: The flags in this order.
  static func collect(
    values: [(String, String?)] = [], lists: [(String, [String])] = [], maps: [(String, [String])] = [],
    switches: [(String, Bool)] = []
  ) -> [PassFlag] {
    values.compactMap { key, value in value.map { PassFlag(key, $0) } }
      + lists.compactMap { key, values in values.isEmpty ? nil : PassFlag(key, list: values) }
      + maps.compactMap { key, entries in entries.isEmpty ? nil : PassFlag(key, map: entries) }
      + switches.compactMap { key, isOn in isOn ? PassFlag(key, "true") : nil }
  }
}
