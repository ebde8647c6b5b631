/// The description of a container's tensors, as JSON.
struct ContainerManifest: Equatable {
  var quantization: [String: QuantizedLayout]
  var adapter: AdapterParameters?
  /// An object.
  var metadata: JSONValue

  private static let keys: Set<String> = ["quantization", "adapter", "metadata"]
}

extension ContainerManifest {
  /// The text of the manifest; modules are sorted, so that equal contents give equal text.
  var text: String {
    var members: [JSONValue.Member] = []
    if !quantization.isEmpty {
      let modules = quantization.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      members.append(
        .init("quantization", .object(modules.map { .init($0.key, JSONValue.object($0.value.members)) })))
    }
    if let adapter { members.append(.init("adapter", adapter.manifestValue)) }
    if metadata != .object([]) { members.append(.init("metadata", metadata)) }
    return JSONValue.object(members).compactText
  }

  /// Reads a manifest.
  ///
  /// - Throws: `ManifestDefect` with the rule that is broken.
  init(_ value: JSONValue) throws(ManifestDefect) {
    guard let members = value.object else { throw ManifestDefect("is not an object") }
    quantization = try Self.readQuantization(value["quantization"])
    adapter = try value["adapter"].map { value throws(ManifestDefect) in
      try AdapterParameters(manifest: value)
    }
    guard let known = (value["metadata"] ?? .object([])).object else {
      throw ManifestDefect("'metadata' is not an object")
    }
    let unknown = members.filter { !Self.keys.contains($0.key) }
    // A set, because a file may have very many keys.
    let knownKeys = Set(known.map(\.key))
    for member in unknown where knownKeys.contains(member.key) {
      throw ManifestDefect("'\(member.key)' is there twice, once in 'metadata'")
    }
    metadata = .object(known + unknown)
  }

  private static func readQuantization(
    _ value: JSONValue?
  ) throws(ManifestDefect) -> [String: QuantizedLayout] {
    guard let value else { return [:] }
    guard let members = value.object else { throw ManifestDefect("'quantization' is not an object") }
    var modules: [String: QuantizedLayout] = [:]
    for member in members {
      modules[member.key] = try layout(member.value, of: member.key)
    }
    return modules
  }
}

extension ContainerManifest {
  private static func layout(_ value: JSONValue, of module: String) throws(ManifestDefect) -> QuantizedLayout
  {
    let place = "quantization of '\(module)'"
    try value.requireKeys(QuantizedLayout.memberKeys, in: place)
    do throws(LayoutDefect) {
      return try QuantizedLayout(members: value)
    } catch {
      throw ManifestDefect("\(place): \(error.reason)")
    }
  }
}

/// What is wrong with a manifest, as a phrase.
struct ManifestDefect: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

extension JSONValue {
  /// Refuses other keys of an object than these.
  fileprivate func requireKeys(_ keys: Set<String>, in place: String) throws(ManifestDefect) {
    guard let members = object else { throw ManifestDefect("\(place) is not an object") }
    for member in members where !keys.contains(member.key) {
      throw ManifestDefect("\(place) has an unknown key '\(member.key)'")
    }
  }
}

extension AdapterParameters {
  fileprivate var manifestValue: JSONValue {
    .object([
      .init("kind", .string(kind.rawValue)), .init("rank", .integer(rank)), .init("alpha", .double(alpha)),
    ])
  }

  fileprivate init(manifest value: JSONValue) throws(ManifestDefect) {
    try value.requireKeys(["kind", "rank", "alpha"], in: "'adapter'")
    guard let name = value["kind"]?.string else { throw ManifestDefect("'adapter' has no 'kind'") }
    guard let kind = Kind(rawValue: name) else { throw ManifestDefect("unknown adapter kind '\(name)'") }
    guard let rank = value["rank"]?.integer, rank >= 1 else {
      throw ManifestDefect("'adapter': 'rank' is not a positive integer")
    }
    guard let alpha = value["alpha"]?.double, alpha.isFinite else {
      throw ManifestDefect("'adapter': 'alpha' is not a finite number")
    }
    self.init(kind: kind, rank: rank, alpha: alpha)
  }
}

extension ContainerManifest {
  /// Reads the text of a manifest.
  init(parsing text: [UInt8], path: String) throws(FormatError) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue(parsing: text)
    } catch {
      throw FormatError(path, at: "manifest", .malformed(error.description))
    }
    do throws(ManifestDefect) {
      try self.init(value)
    } catch {
      throw FormatError(path, at: "manifest", .malformed(error.reason))
    }
  }
}
