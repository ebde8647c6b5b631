/// How transformers names the modules of a model whose text part is inside a larger one.
///
/// PEFT stores adapters by these names, which are not always those of the checkpoint.
///
/// Source: transformers 5.24, `conversion_mapping.py`; `Formats/peft.md` has the table.
struct PeftNaming: Sendable, Equatable {
  /// A beginning of names, of whole components.
  struct Beginning: Sendable, Equatable {
    let inTransformers: String
    let inCheckpoint: String
  }

  /// The beginnings that differ.
  private let beginnings: [Beginning]
  /// Whether transformers has only the modules whose names begin so, and not those of the other parts.
  private let isTextOnly: Bool

  private init(_ beginnings: [(String, String)] = [], isTextOnly: Bool = false) {
    self.beginnings = beginnings.map { Beginning(inTransformers: $0.0, inCheckpoint: $0.1) }
    self.isTextOnly = isTextOnly
  }

  /// The names of the checkpoint.
  static let same = PeftNaming()
  /// Gemma 3 and Mistral 3 with their other parts.
  private static let inLargerModel = PeftNaming([
    ("model.language_model", "language_model.model"), ("lm_head", "language_model.lm_head"),
    ("model.vision_tower", "vision_tower"), ("model.multi_modal_projector", "multi_modal_projector"),
  ])
  /// The text part alone of checkpoints as those of Qwen 3.5.
  private static let textAlone = PeftNaming(
    [("model", "model.language_model"), ("lm_head", "lm_head")], isTextOnly: true)
  /// The text part alone of checkpoints as those of Gemma 3.
  private static let olderTextAlone = PeftNaming(
    [("model", "language_model.model"), ("lm_head", "language_model.lm_head")], isTextOnly: true)

  /// The names that an adapter of a checkpoint is written with.
  ///
  /// - Parameter tensors: The tensors of the checkpoint.
  /// - Returns: Those of the class that the checkpoint was published for.
  static func written(for tensors: [TensorInfo]) -> PeftNaming {
    tensors.contains { $0.name.hasPrefix("language_model.model.") } ? inLargerModel : same
  }

  /// The names with which most tensors that an adapter changes are found.
  ///
  /// - Parameters:
  ///   - changed: The names of the changed tensors in transformers.
  ///   - isThere: Whether the checkpoint has a tensor of a name.
  /// - Returns: The first of those that find as many; the checkpoint's own names come first.
  static func matching(_ changed: [String], _ isThere: (String) -> Bool) -> PeftNaming {
    var best = (naming: same, count: changed.count(where: isThere))
    for naming in [inLargerModel, textAlone, olderTextAlone] where best.count < changed.count {
      let count = changed.count { isThere(naming.inCheckpoint($0)) }
      if count > best.count { best = (naming, count) }
    }
    return best.naming
  }

  /// The name in the checkpoint of a module or tensor of transformers.
  func inCheckpoint(_ name: String) -> String {
    for beginning in beginnings {
      if let rest = name.dropping(beginning.inTransformers) { return beginning.inCheckpoint + rest }
    }
    return name
  }

  /// The name in transformers of a module or tensor of the checkpoint; nil for one that transformers does not
  /// load.
  func inTransformers(_ name: String) -> String? {
    for beginning in beginnings {
      if let rest = name.dropping(beginning.inCheckpoint) { return beginning.inTransformers + rest }
    }
    return isTextOnly ? nil : name
  }
}

extension String {
  /// What follows a beginning of whole components, from the dot on; nil if the name begins otherwise.
  fileprivate func dropping(_ beginning: String) -> Substring? {
    guard utf8.starts(with: beginning.utf8) else { return nil }
    let rest = self[utf8.index(startIndex, offsetBy: beginning.utf8.count)...]
    return rest.isEmpty || rest.utf8.first == UInt8(ascii: ".") ? rest : nil
  }
}
