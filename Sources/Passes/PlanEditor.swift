public import Checkpoints

/// Turns the contents of a checkpoint into a plan, change by change.
///
/// New tensors take the place of those they replace, or follow a tensor that stays.
public struct PlanEditor {
  private var contents: CheckpointContents
  private let tensors: [String: TensorInfo]
  private var replacements: [PassPlan.Replacement] = []
  private var dropped: Set<String> = []
  private var placed: [String: [TensorInfo]] = [:]

  /// Begins with a checkpoint without changes.
  public init(_ input: Checkpoint) {
    contents = input.contents
    tensors = Dictionary(
      input.contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Replaces tensors by others.
  ///
  /// - Parameters:
  ///   - old: The names to remove, at least one, all present; the new tensors take the place of the first
  ///     one.
  ///   - new: The tensors to add.
  ///   - module: The module that the change is reported under.
  ///   - action: The change as a phrase.
  public mutating func replace(_ old: [String], with new: [TensorInfo], module: String, action: String) {
    precondition(!old.isEmpty, "module '\(module)': no tensor to replace")
    let sources = old.compactMap { tensors[$0] }
    dropped.formUnion(old)
    placed[old[0], default: []] += new
    replacements.append(
      PassPlan.Replacement(
        module: module, action: action, sources: sources, outputs: new,
        bytesBefore: sources.reduce(0) { $0 + $1.byteCount }, bytesAfter: new.reduce(0) { $0 + $1.byteCount })
    )
  }

  /// Adds tensors after one that stays, and rewrites others with the same name, type and shape.
  ///
  /// - Parameters:
  ///   - new: The tensors to add; can be empty.
  ///   - name: The tensor that they follow.
  ///   - rewritten: The names of the tensors to rewrite; among the outputs they come before the new ones.
  ///   - module: The module that the change is reported under; its sizes count the new tensors only.
  ///   - action: The change as a phrase.
  public mutating func add(
    _ new: [TensorInfo], after name: String, rewriting rewritten: [String] = [], module: String,
    action: String
  ) {
    let sources = rewritten.compactMap { tensors[$0] }
    placed[name, default: []] += new
    replacements.append(
      PassPlan.Replacement(
        module: module, action: action, sources: sources, outputs: sources + new, bytesBefore: 0,
        bytesAfter: new.reduce(0) { $0 + $1.byteCount }))
  }

  /// Edits the contents other than tensors.
  public mutating func update(_ body: (inout CheckpointContents) -> Void) { body(&contents) }

  /// The number of changes.
  public var count: Int { replacements.count }

  /// Whether there are no changes.
  public var isEmpty: Bool { replacements.isEmpty }

  /// Completes the plan.
  ///
  /// - Parameters:
  ///   - memory: The estimated memory of the pass in addition to mapped files, in bytes.
  ///   - begin: Begins the work.
  /// - Returns: The plan with all changes.
  public func plan(memory: Int, begin: @escaping PassPlan.Begin) -> PassPlan {
    var contents = contents
    contents.tensors = contents.tensors.flatMap { tensor in
      (dropped.contains(tensor.name) ? [] : [tensor]) + (placed[tensor.name] ?? [])
    }
    return PassPlan(contents: contents, replacements: replacements, memory: memory, begin: begin)
  }
}
