public import Checkpoints
public import Models

/// The checkpoints of a run between two passes.
public struct RunState: Sendable {
  /// The input of the recipe.
  public let input: Checkpoint
  /// What the last pass made; at first the input.
  public private(set) var current: Checkpoint
  /// What later passes compare with: the input, or what a pass like `rotate` made of it.
  public private(set) var original: Checkpoint
  /// The state before the last merge, if there is one that computes the same.
  public private(set) var unmerged: Checkpoint?

  /// Begins with the input.
  init(input: Checkpoint) {
    self.input = input
    current = input
    original = input
  }

  /// Notes what a pass has done.
  ///
  /// - Parameters:
  ///   - effect: What the pass means for the passes after it.
  ///   - output: What it wrote; nil when it wrote nothing.
  mutating func advance(by effect: PassEffect, to output: Checkpoint?) {
    switch effect.unmerged {
    case .unchanged: break
    case .before: unmerged = current
    case .none: unmerged = nil
    }
    guard let output else { return }
    current = output
    if effect.replacesOriginal { original = output }
  }
}

/// What a pass is given while a recipe runs.
public struct PassContext {
  /// The checkpoints of the run.
  public let state: RunState
  /// How further checkpoints are opened.
  public let access: FileAccess
  /// The memory that a pass keeps to where it has the choice, in bytes; nil leaves it to the pass.
  public let memoryLimit: Int?
  /// Whether files that exist may be replaced.
  public let mayReplace: Bool
  /// Is told how far the pass is.
  public let progress: ProgressHandler
  /// Where files are that go away with the run.
  package let work: WorkFiles
  /// Where a long pass keeps how far it is, for a run that goes on; nil when none will.
  package let resumption: PassState?
  /// Where a line for each calibration update is appended, if anywhere.
  package let logPath: String?

  /// The checkpoint that later passes compare with: the teacher.
  public var original: Checkpoint { state.original }

  /// Names a file that goes away with the run.
  ///
  /// - Parameter name: A plain name.
  /// - Returns: Its path.
  public func temporaryPath(_ name: String) -> String { work.path(name) }
}

/// The files that a run makes beside its output, which go away with it.
package struct WorkFiles {
  /// The path of a file from its name.
  package let path: (String) -> String
  /// Call with the name of each finished file; a resumed run reuses it.
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
  /// Call after the file was written whole.
  package let didSave: () -> Void
}
