/// A map of a recipe, read key by key.
struct RecipeMap {
  /// A key with a cursor at its value.
  struct Member {
    let name: String
    /// The place of the key itself.
    let keyPlace: RecipePlace
    let value: RecipeReader
  }

  /// The cursor at the map.
  let reader: RecipeReader
  let members: [Member]

  /// Returns the value of a required key.
  func required(_ name: String) throws -> RecipeReader {
    guard let member = members.first(where: { $0.name == name }) else { throw missing(name) }
    return member.value
  }

  /// The error of a required key that is missing.
  func missing(_ name: String) -> PassError {
    let place = reader.place
    if case .argument(let command) = place.origin, place.path == nil, reader.key.isEmpty {
      let flag = PassFlag(name, "").name
      return .usage("\(flag) is missing: rilq \(command) … \(flag) \(name == "text" ? "FILE" : "VALUE")")
    }
    return .recipe(
      RecipePlace(path: place.path, origin: place.origin, key: reader.key.appendingKey(name)), "is missing")
  }

  /// Returns the value of a key, or the default when the key is missing.
  func value<T>(_ name: String, default value: T, _ read: (RecipeReader) throws -> T) throws -> T {
    guard let member = members.first(where: { $0.name == name }) else { return value }
    return try read(member.value)
  }

  /// Returns the value of a key, or nil when the key is missing or `null`.
  func optional<T>(_ name: String, _ read: (RecipeReader) throws -> T) throws -> T? {
    guard let member = members.first(where: { $0.name == name }), !member.value.node.isNull else {
      return nil
    }
    return try read(member.value)
  }

  /// Whether a key is given and not `null`.
  func has(_ name: String) -> Bool {
    members.contains { $0.name == name && !$0.value.node.isNull }
  }
}
