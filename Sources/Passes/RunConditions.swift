import Checkpoints

/// Everything that the bytes of an output depend on; a run resumes another one only when all of it is equal.
struct RunConditions {
  /// An object: `version`, `recipe`, `options`, and `inputs`, the identity of each file by its path.
  let json: JSONValue

  /// Identifies every file that a recipe reads, without reading all of it; see `FileIdentity`.
  ///
  /// - Parameters:
  ///   - recipe: The recipe.
  ///   - options: The options of the run.
  /// - Throws: `FormatError` when a file is missing or cannot be read.
  init(_ recipe: Recipe, _ options: Pipeline.Options) throws {
    var inputs: [JSONValue.Member] = []
    for path in recipe.readPaths {
      for file in try Self.files(of: path) where !inputs.contains(where: { $0.key == file }) {
        inputs.append(JSONValue.Member(file, try FileIdentity(of: file).json))
      }
    }
    json = .object([
      JSONValue.Member("version", .string(options.version)),
      JSONValue.Member("recipe", recipe.resolvedJSON()),
      JSONValue.Member(
        "options",
        .object([
          JSONValue.Member("compression", .string(options.container.compression.phrase)),
          JSONValue.Member("mappable", .bool(options.container.keepsMappable)),
          JSONValue.Member("block-size", .integer(options.container.blockByteCount)),
          JSONValue.Member("shard-size", options.shardByteLimit.map(JSONValue.integer) ?? .null),
          JSONValue.Member("gguf-type", .string(options.ggufType.rawValue)),
          JSONValue.Member("lossy", .bool(options.isLossy)),
        ])),
      JSONValue.Member("inputs", .object(inputs)),
    ])
  }

  /// The recipe and the options as a text.
  var request: String { ["recipe", "options"].map { json[$0]?.compactText ?? "" }.joined(separator: "\n") }

  /// Returns a file, or the files below a folder.
  static func files(of path: String) throws -> [String] {
    guard try FileSystem.kind(of: path) == .folder else { return [path] }
    return try FileSystem.files(below: path).map { FileSystem.join(path, $0) }
  }

  /// Describes the first difference from earlier conditions.
  ///
  /// - Parameter earlier: The conditions of another run.
  /// - Returns: A clause, or nil when everything is the same.
  func change(since earlier: JSONValue) -> String? {
    let names = ["version", "recipe", "options", "inputs"]
    guard let name = names.first(where: { json[$0] != earlier[$0] }) else { return nil }
    let (now, before) = (json[name] ?? .null, earlier[name] ?? .null)
    switch name {
    case "version": return "rilq is version \(now.phrase) now, it was \(before.phrase)"
    case "inputs": return fileChange(now, before)
    default:
      let difference = JSONDifference(now, before, at: name == "recipe" ? "" : "--")
      return "\(difference.path) is \(difference.first.phrase) now, it was \(difference.second.phrase)"
    }
  }

  private func fileChange(_ now: JSONValue, _ before: JSONValue) -> String {
    let (files, earlier) = (now.object ?? [], before.object ?? [])
    if let changed = files.first(where: { file in before[file.key].map { $0 != file.value } ?? false }) {
      return "the input '\(changed.key)' has changed"
    }
    if let new = files.first(where: { before[$0.key] == nil }) { return "the input '\(new.key)' is new" }
    if let gone = earlier.first(where: { now[$0.key] == nil }) { return "the input '\(gone.key)' is gone" }
    return "the order of the inputs has changed"
  }
}

extension Recipe {
  /// The files and folders that the run reads.
  var readPaths: [String] {
    [input.resolved] + adapterPaths + passes.flatMap { $0.paths(.read) }
  }
}

extension ContainerCompression {
  /// The requested compression as a phrase.
  fileprivate var phrase: String {
    switch self {
    case .none: "none"
    case .zlib: "zlib"
    case .zstd(let level): "zstd:\(level)"
    }
  }
}

/// The first place where two documents differ.
private struct JSONDifference {
  private(set) var path: String
  private(set) var first: JSONValue
  private(set) var second: JSONValue

  init(_ first: JSONValue, _ second: JSONValue, at prefix: String) {
    path = prefix
    self.first = first
    self.second = second
    while descend() {}
    path = "'\(path)'"
  }

  /// Descends to the first part that differs, when both values have parts.
  private mutating func descend() -> Bool {
    let (a, b) = (first.parts, second.parts)
    guard !a.isEmpty, !b.isEmpty,
      let key = (a + b).map(\.key).first(where: { key in a.value(of: key) != b.value(of: key) })
    else { return false }
    path += (path.isEmpty || path == "--" ? "" : ".") + key
    (first, second) = (a.value(of: key), b.value(of: key))
    return true
  }
}

extension [JSONValue.Member] {
  fileprivate func value(of key: String) -> JSONValue { first { $0.key == key }?.value ?? .null }
}

extension JSONValue {
  /// The members of an object, or the elements of an array with their indices as names.
  fileprivate var parts: [Member] {
    object ?? (array ?? []).enumerated().map { Member(String($0.offset), $0.element) }
  }

  /// The value for a message, without quotes; long values are only called "something else".
  fileprivate var phrase: String {
    if isNull { return "not there" }
    let text = string ?? compactText
    return text.utf8.count <= 60 ? text : "something else"
  }
}
