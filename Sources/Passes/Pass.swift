package import Checkpoints
package import Models

/// A step from one checkpoint to another: planned from headers, run tensor by tensor.
package protocol Pass: Sendable {
  /// The recipe's name of the pass.
  var name: String { get }

  /// The pass with what only the checkpoint's values can tell, made before a run plans; by default itself.
  ///
  /// - Throws: What reading the values throws.
  func prepared(for input: Checkpoint, _ context: PassContext) throws -> any Pass

  /// What the pass will do, from headers alone.
  ///
  /// - Throws: `PassError` or `FormatError` when the checkpoint does not fit the options.
  func plan(_ input: Checkpoint) throws -> PassPlan

  /// Whether the texts that the pass reads will do; asked of every pass before the first one runs, by default nothing.
  ///
  /// - Parameter input: The checkpoint that the recipe begins with, whose tokenizer all passes share.
  /// - Throws: `FormatError` or `ModelError` when a text is malformed or too short.
  func requireTexts(for input: Checkpoint) throws

  /// Writes every tensor that was planned, in the planned order.
  ///
  /// - Parameters:
  ///   - input: The checkpoint that was planned for.
  ///   - writer: Made for the planned contents.
  ///   - context: Where to work and whom to tell.
  /// - Returns: What there is to report: an object.
  /// - Throws: `PassError` or `FormatError`; what was written is then of no use.
  func run(_ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext) throws -> JSONValue
}

extension Pass {
  package func prepared(for input: Checkpoint, _ context: PassContext) throws -> any Pass { self }

  package func requireTexts(for input: Checkpoint) throws {}
}

/// What a pass will do.
package struct PassPlan: Sendable {
  /// What the result will hold.
  package var contents: CheckpointContents
  /// What happens to each tensor that is changed, added or dropped.
  package var changes: [TensorChange]
  /// An estimate of the memory the pass needs beside mapped files, in bytes.
  package var memory: Int
  /// The files that are not weights and get other contents, by their names.
  package var assets: [String: TensorBytes] = [:]

  /// What happens to a tensor.
  package struct TensorChange: Sendable, Equatable {
    /// The tensor or module.
    package let name: String
    /// What is done, as a phrase: `2 bits, groups of 64`.
    package let action: String
    /// The bytes before; 0 when it is added.
    package let bytesBefore: Int
    /// The bytes after; 0 when it is dropped.
    package let bytesAfter: Int
  }
}

/// What passes share while a recipe runs.
package struct PassContext {
  /// The checkpoint the recipe began with: the teacher.
  package let original: Checkpoint
  /// Whether further checkpoints are mapped or read.
  package let access: FileAccess
  /// Where files are that go away with the run.
  package let work: WorkFiles
  /// Where a long pass keeps how far it is, for a run that goes on; nil when none will.
  package let state: PassState?
  /// The bytes of memory that a pass should keep to where it has the choice; nil leaves it to the pass.
  package let memoryLimit: Int?
  /// Where a line a calibration update is appended, if anywhere.
  package let logPath: String?
  /// Whether files that exist may be replaced.
  let mayReplace: Bool
  /// Is told how far the pass is.
  package let progress: ProgressHandler
}

/// The files that a run makes beside its output, which go away with it.
package struct WorkFiles {
  /// The path of a file from its name.
  package let path: (String) -> String
  /// To be told the name of a file that is whole and on disk, which a run that goes on with this one need not make again.
  package let keep: (String) -> Void

  /// Says where files are; by default none outlives the run.
  package init(path: @escaping (String) -> String, keep: @escaping (String) -> Void = { _ in }) {
    self.path = path
    self.keep = keep
  }
}

/// A file in which a pass keeps how far it is.
package struct PassState {
  /// The path; what is there at first is what the same step of the same run has kept before it was stopped.
  package let path: String
  /// To be told after the file was written whole.
  package let didSave: () -> Void
}

/// The contents of a checkpoint being changed, module by module; new tensors stand where those they replace stood.
package struct ContentsEditor {
  private var contents: CheckpointContents
  private let byteCounts: [String: Int]
  private var changes: [PassPlan.TensorChange] = []
  private var dropped: Set<String> = []
  private var placed: [String: [TensorInfo]] = [:]

  package init(_ contents: CheckpointContents) {
    self.contents = contents
    byteCounts = Dictionary(
      contents.tensors.map { ($0.name, $0.byteCount) }, uniquingKeysWith: { first, _ in first })
  }

  /// Puts tensors in the place of others.
  ///
  /// - Parameters:
  ///   - old: The names that go, at least one, all present; the new tensors stand where the first of them stands.
  ///   - new: The tensors that come.
  ///   - module: What the change is reported for.
  ///   - action: The change as a phrase.
  package mutating func replace(_ old: [String], with new: [TensorInfo], module: String, action: String) {
    dropped.formUnion(old)
    placed[old[0], default: []] += new
    changes.append(
      PassPlan.TensorChange(
        name: module, action: action, bytesBefore: old.reduce(0) { $0 + (byteCounts[$1] ?? 0) },
        bytesAfter: new.reduce(0) { $0 + $1.byteCount }))
  }

  /// Adds tensors behind one that stays.
  package mutating func add(_ new: [TensorInfo], behind name: String, module: String, action: String) {
    placed[name, default: []] += new
    changes.append(
      PassPlan.TensorChange(
        name: module, action: action, bytesBefore: 0, bytesAfter: new.reduce(0) { $0 + $1.byteCount }))
  }

  /// Edits what is not a tensor.
  package mutating func update(_ body: (inout CheckpointContents) -> Void) { body(&contents) }

  /// The plan.
  package func plan(memory: Int) -> PassPlan {
    var contents = contents
    contents.tensors = contents.tensors.flatMap { tensor in
      (dropped.contains(tensor.name) ? [] : [tensor]) + (placed[tensor.name] ?? [])
    }
    return PassPlan(contents: contents, changes: changes, memory: memory)
  }
}

/// Writes the announced tensors: those that `replacements` makes, and the others as they are in the input.
///
/// - Parameters:
///   - contents: What was announced to the writer.
///   - input: Where unchanged tensors and assets come from.
///   - writer: Gets everything in order.
///   - makes: Asked for each tensor before it is written; nil means unchanged.
/// - Throws: `FormatError`, or what `makes` throws.
package func writeTensors(
  of contents: CheckpointContents, from input: Checkpoint, into writer: any CheckpointWriter,
  replacing makes: (TensorInfo) throws -> TensorBytes?
) throws {
  for tensor in contents.tensors {
    let bytes = try makes(tensor) ?? input.bytes(of: tensor.name)
    try bytes.withSpan { try writer.write(tensor, $0) }
  }
  for asset in contents.assets {
    guard let bytes = try input.asset(named: asset.name) else {
      throw FormatError(input.path, .missing("file '\(asset.name)'"))
    }
    try bytes.withSpan { try writer.write(asset, $0) }
  }
}
