/// The keys and values of a GGUF file, in its order.
package struct GGUFMetadata: Sendable, Equatable {
  /// The keys in the order of the file; unique.
  package private(set) var keys: [String] = []
  private var values: [String: GGUFValue] = [:]

  /// Makes metadata without keys.
  package init() {}

  /// The value of a key, or nil when there is none.
  package subscript(key: String) -> GGUFValue? { values[key] }

  /// Appends a key.
  ///
  /// - Returns: Whether the key is new; if not, nothing is changed.
  package mutating func insert(_ key: String, _ value: GGUFValue) -> Bool {
    guard values[key] == nil else { return false }
    values[key] = value
    keys.append(key)
    return true
  }
}

/// Typed access to the metadata of one file, with errors that name the key.
struct GGUFKeys {
  let metadata: GGUFMetadata
  let path: String

  func error(_ key: String, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "key '\(key)'", problem)
  }

  private func value<T>(
    _ key: String, _ what: String, _ convert: (GGUFValue) -> T?
  ) throws(FormatError) -> T? {
    guard let value = metadata[key] else { return nil }
    guard let converted = convert(value) else { throw error(key, .malformed("is not \(what)")) }
    return converted
  }

  func string(_ key: String) throws(FormatError) -> String? { try value(key, "a text", \.string) }

  func bool(_ key: String) throws(FormatError) -> Bool? {
    try value(key, "a truth value") { if case .bool(let value) = $0 { value } else { nil } }
  }

  func integer(_ key: String) throws(FormatError) -> Int? { try value(key, "an integer", \.integer) }

  /// A finite number as the shortest text that reads back to it in its own precision.
  func number(_ key: String) throws(FormatError) -> JSONValue? {
    try value(key, "a finite number") { value in
      switch value {
      case .float32(let number) where number.isFinite: .number(number.description)
      case .float64(let number) where number.isFinite: .double(number)
      default: nil
      }
    }
  }

  func strings(_ key: String) throws(FormatError) -> [String]? {
    try value(key, "a list of texts") { value in
      guard case .array(.string, let elements) = value else { return nil }
      return elements.compactMap(\.string)
    }
  }

  func floats(_ key: String) throws(FormatError) -> [Float]? {
    try value(key, "a list of F32") { value in
      guard case .array(.float32, let elements) = value else { return nil }
      return elements.compactMap { if case .float32(let number) = $0 { number } else { nil } }
    }
  }

  func integers(_ key: String) throws(FormatError) -> [Int]? {
    try value(key, "a list of integers") { value in
      guard let elements = value.array else { return nil }
      let integers = elements.compactMap(\.integer)
      return integers.count == elements.count ? integers : nil
    }
  }

  func bools(_ key: String) throws(FormatError) -> [Bool]? {
    try value(key, "a list of truth values") { value in
      guard case .array(.bool, let elements) = value else { return nil }
      return elements.compactMap { if case .bool(let bool) = $0 { bool } else { nil } }
    }
  }

  /// A positive size, small enough for products of three sizes.
  func size(_ key: String) throws(FormatError) -> Int {
    guard let size = try optionalSize(key) else { throw FormatError(path, .missing("key '\(key)'")) }
    return size
  }

  /// A size for each layer: a list with as many values, or one for all; zeros are allowed in a list.
  func sizes(_ key: String, layerCount: Int) throws(FormatError) -> [Int]? {
    guard metadata[key]?.array != nil else {
      return try optionalSize(key).map { [Int](repeating: $0, count: layerCount) }
    }
    guard let list = try integers(key), list.count == layerCount,
      list.allSatisfy({ (0...1 << 24).contains($0) })
    else { throw error(key, .malformed("must be a list of \(layerCount) sizes up to 2^24")) }
    return list
  }

  func optionalSize(_ key: String) throws(FormatError) -> Int? {
    guard let size = try integer(key) else { return nil }
    guard (1...1 << 24).contains(size) else { throw error(key, .malformed("\(size) is not from 1 to 2^24")) }
    return size
  }
}
