/// What is wrong with a file, and where.
///
/// Prints as one line, `path: where: why`.
public struct FormatError: Error, Equatable, CustomStringConvertible {
  /// The file or folder.
  public let path: String
  /// The byte where the problem was noticed, from the start of the file.
  public let byteOffset: Int?
  /// The tensor, section, key or line concerned, ready to print: `tensor 'x'`, `key 'hidden_size'`.
  public let place: String?
  /// The broken rule.
  public let problem: Problem

  /// Names a problem and where it is.
  public init(_ path: String, byte byteOffset: Int? = nil, at place: String? = nil, _ problem: Problem) {
    self.path = path
    self.byteOffset = byteOffset
    self.place = place
    self.problem = problem
  }

  /// One line: path, place, reason; names from files are escaped.
  public var description: String { path.escapedForDisplay + ": " + reason }

  /// The place and the reason, without the path.
  package var reason: String {
    var parts: [String] = []
    if let byteOffset { parts.append("byte \(byteOffset)") }
    if let place { parts.append(place.shortened.escapedForDisplay) }
    parts.append(problem.description.shortened)
    return parts.joined(separator: ": ")
  }
}

extension FormatError {
  /// A broken rule, with the numbers that disagree.
  public enum Problem: Equatable, Sendable, CustomStringConvertible {
    /// The contents break the format; the reason is worded by the reader.
    case malformed(String)
    /// More bytes are declared than the file has.
    case truncated(needed: Int, available: Int)
    /// The contents are valid but not supported; the reason is a sentence.
    case unsupported(String)
    /// The contents are valid but of an unsupported kind: its name, and the supported kinds.
    case unsupportedKind(String, supported: [String] = [])
    /// The format cannot hold the contents exactly, and a loss is not allowed.
    case notExact(String)
    /// A tensor has another shape than the model needs.
    case shape(expected: [Int], found: [Int])
    /// A required file, tensor or key is missing from something that was opened.
    case missing(String)
    /// There is nothing at a path that the user named.
    case notFound(String)
    /// A stored checksum differs from that of the bytes.
    case checksum(stored: String, computed: String)
    /// Something is there already and may not be replaced.
    case exists
    /// The operating system refused.
    case system(String)

    /// The reason as a phrase.
    public var description: String {
      switch self {
      case .malformed(let reason), .unsupported(let reason), .notExact(let reason), .system(let reason):
        reason.escapedForDisplay
      case .truncated(let needed, let available): "needs \(needed) bytes, \(available) are left"
      case .shape(let expected, let found): "shape is \(found), expected \(expected)"
      case .unsupportedKind(let name, let supported):
        "\(name.escapedForDisplay) is not supported" + Self.clause(supported)
      case .missing(let what), .notFound(let what): "\(what.escapedForDisplay) is missing"
      case .checksum(let stored, let computed): "checksum is \(computed), stored is \(stored)"
      case .exists: "exists already; --force replaces it"
      }
    }

    /// The supported kinds as a clause: `; a is`, `; a and b are`.
    private static func clause(_ supported: [String]) -> String {
      guard let last = supported.last else { return "" }
      let others = supported.dropLast().joined(separator: ", ")
      return supported.count == 1 ? "; \(last) is" : "; \(others) and \(last) are"
    }
  }
}

extension String {
  /// The text with control characters and line breaks written as escapes, so that it stays on one line.
  package var escapedForDisplay: String {
    // Most texts are plain ASCII, for which no Unicode property needs to be looked up.
    if utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return self }
    guard unicodeScalars.contains(where: { $0.needsEscape }) else { return self }
    return unicodeScalars.map { $0.needsEscape ? "\\u{\(String($0.value, radix: 16))}" : String($0) }.joined()
  }
}

extension String {
  private static let partLimit = 1000

  /// The text, cut if it is too long for a message; a name in a file may have any length.
  fileprivate var shortened: String {
    utf8.count <= Self.partLimit ? self : String(prefix(Self.partLimit)) + "…"
  }
}

extension Unicode.Scalar {
  fileprivate var needsEscape: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}
