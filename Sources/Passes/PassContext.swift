public import Checkpoints
package import Kernels
public import Models

/// The checkpoints of a run between two passes.
public struct RunState: Sendable {
  /// The input of the recipe.
  public let input: Checkpoint
  /// The result of the last pass; the input before the first one.
  public private(set) var current: Checkpoint
  /// The checkpoint that later passes compare with: the input, or the result of a pass like `rotate`.
  public private(set) var original: Checkpoint
  /// The state before the last merge, if it computes the same.
  public private(set) var unmerged: Checkpoint?

  /// Begins with the input.
  init(input: Checkpoint) {
    self.input = input
    current = input
    original = input
  }

  /// Records the effect of a pass.
  ///
  /// - Parameters:
  ///   - effect: The effect of the pass on later passes.
  ///   - output: The checkpoint that the pass wrote; nil when it wrote none.
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

/// The surroundings of a pass in a run.
public struct PassContext {
  /// The checkpoints of the run.
  public let state: RunState
  /// How further checkpoints are opened.
  public let access: FileAccess
  /// The memory limit of a pass where it has a choice, in bytes; nil lets the pass decide.
  public let memoryLimit: Int?
  /// Whether existing files can be replaced.
  public let mayReplace: Bool
  /// Called with the progress of the pass.
  public let progress: ProgressHandler
  /// The temporary files of the run.
  package let work: WorkFiles
  /// The file where a long pass saves its state for a resumed run; nil when the run cannot be resumed.
  package let resumption: PassState?
  /// The file that gets one line per calibration update; nil for none.
  package let logPath: String?

  /// The processes that share the work of the run.
  package let group: any ProcessGroup

  /// The windows that later passes request from the same original model.
  package let laterWindows: [WindowSource]

  /// The checkpoint that later passes compare with: the teacher.
  public var original: Checkpoint { state.original }

  /// Returns the path of a file that is removed with the run.
  ///
  /// - Parameter name: A plain name.
  /// - Returns: Its path.
  public func temporaryPath(_ name: String) -> String { work.path(name) }
}

/// The files that a run creates beside its output and removes at its end.
package struct WorkFiles {
  /// Returns the path of a file by its name.
  package let path: (String) -> String
  /// Call with the name of each finished file; a resumed run reuses it.
  package let keep: (String) -> Void

  /// Takes the two functions; by default no file outlives the run.
  package init(path: @escaping (String) -> String, keep: @escaping (String) -> Void = { _ in }) {
    self.path = path
    self.keep = keep
  }
}

/// The file in which a pass saves its state.
package struct PassState {
  /// The path; at the start the file holds the state that an interrupted run saved in the same step, if any.
  package let path: String
  /// Call after the whole file was written.
  package let didSave: () -> Void
}
