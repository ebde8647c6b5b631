public import Checkpoints

/// Turns the contents of a checkpoint into a plan, change by change.
///
/// New tensors stand where those they replace stood, or after one that stays.
public struct PlanEditor {
  private var contents: CheckpointContents
  private let tensors: [String: TensorInfo]
  private var replacements: [PassPlan.Replacement] = []
  private var dropped: Set<String> = []
  private var placed: [String: [TensorInfo]] = [:]

  /// Begins with a checkpoint as it is.
  public init(_ input: Checkpoint) {
    contents = input.contents
    tensors = Dictionary(
      input.contents.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Puts tensors in the place of others.
  ///
  /// - Parameters:
  ///   - old: The names that go, at least one, all present; the new tensors stand where the first of them stands.
  ///   - new: The tensors that come.
  ///   - module: What the change is reported for.
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

  /// Adds tensors after one that stays, and makes others anew that keep name, type and shape.
  ///
  /// - Parameters:
  ///   - new: The tensors that come; may be none.
  ///   - name: The tensor that they stand after.
  ///   - rewritten: The names of those that are made anew, before the new ones among the outputs.
  ///   - module: What the change is reported for; only the new tensors count in its sizes.
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

  /// Edits what is not a tensor.
  public mutating func update(_ body: (inout CheckpointContents) -> Void) { body(&contents) }

  /// The number of changes.
  public var count: Int { replacements.count }

  /// Whether nothing is to be done.
  public var isEmpty: Bool { replacements.isEmpty }

  /// Ends the changes.
  ///
  /// - Parameters:
  ///   - memory: An estimate of the memory the pass needs beside mapped files, in bytes.
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
