extension ModelLayout {
  /// The maximum number of names in a notice.
  private static let namedParts = 8

  /// The parts of a larger model that a checkpoint has beside this one, in the order of the file: such as
  /// `model.visual` and `mtp`.
  package func otherParts(in checkpoint: Checkpoint) -> [String] {
    let own = prefix.split(separator: ".")
    var found: Set<String> = []
    return checkpoint.contents.tensors.compactMap { tensor in
      guard !tensor.name.hasPrefix(prefix), !tensor.name.hasPrefix(head.module + ".") else { return nil }
      let names = tensor.name.split(separator: ".")
      let sharedCount = zip(names, own).prefix { $0 == $1 }.count
      let part = names.prefix(sharedCount + 1).joined(separator: ".")
      return found.insert(part).inserted ? part : nil
    }
  }

  /// A notice about the parts of a larger model beside this one, as one sentence; nil without them.
  func otherPartsNotice(in checkpoint: Checkpoint) -> String? {
    let parts = otherParts(in: checkpoint)
    guard !parts.isEmpty else { return nil }
    let names = parts.prefix(Self.namedParts).map { "'\($0)'" }.joined(separator: ", ")
    let rest = parts.count > Self.namedParts ? " and \(parts.count - Self.namedParts) others" : ""
    return "\(names)\(rest): other parts of the model, which are not computed and do not change"
  }
}
