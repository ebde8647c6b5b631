import Checkpoints

/// The steps that made a checkpoint, as its metadata records them.
struct HistorySummary {
  /// The text of one step and of its inputs.
  typealias Step = (made: String, from: [String])

  let steps: [Step]
  /// The other entries of the metadata.
  let others: [JSONValue.Member]

  private static let lengthLimit = 100
  private static let digestLength = 12

  init(_ metadata: JSONValue) {
    steps = (metadata["history"]?.array ?? []).map { entry in
      let version = entry["rilq_version"]?.string ?? "of unknown version"
      let passes = (entry["recipe"]?["passes"]?.array ?? []).flatMap { $0.object ?? [] }.map(Self.text)
      let inputs = ((entry["inputs"]?.array ?? []) + (entry["adapters"]?.array ?? [])).map { input in
        "\(input["file"]?.string ?? "?") \((input["sha256"]?.string ?? "?").prefix(Self.digestLength))"
      }
      return ("rilq \(version): \(passes.isEmpty ? "copy" : passes.joined(separator: ", "))", inputs)
    }
    let isHistory = metadata["history"]?.array != nil
    others = (metadata.object ?? []).filter { !isHistory || $0.key != "history" }
  }

  /// Returns a pass with its simple options as text.
  private static func text(_ pass: JSONValue.Member) -> String {
    let options = (pass.value.object ?? []).compactMap { option -> String? in
      switch option.value {
      case .number(let literal): "\(option.key) \(literal)"
      case .string(let text): "\(option.key) \(text)"
      case .bool(true): option.key
      default: nil
      }
    }
    return options.isEmpty ? pass.key : "\(pass.key) (\(options.joined(separator: ", ")))"
  }

  /// Returns a value as one line, shortened.
  static func shortened(_ value: JSONValue) -> String {
    let text = value.string ?? value.compactText
    return text.count <= lengthLimit ? text : text.prefix(lengthLimit) + "…"
  }
}
