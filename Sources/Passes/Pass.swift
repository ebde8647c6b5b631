public import Checkpoints

/// A step of a recipe: planned from headers, then run tensor by tensor.
///
/// A pass is a value that holds its options. `PassRegistry` lists the passes that recipes may name; what recipes, the
/// command line and the documentation need to know of the options is in `Options.declarations`.
public protocol Pass: Sendable {
  /// What can be chosen.
  associatedtype Options: PassOptionValues

  /// The name in recipes and on the command line: `quantize`.
  static var name: String { get }
  /// What the pass does, as one sentence for its command's help.
  static var summary: String { get }
  /// Whether the pass appends lines to the file that `--log` names; by default not.
  static var writesLog: Bool { get }

  /// The options of this step.
  var options: Options { get set }
  /// Takes options.
  init(_ options: Options)

  /// What the pass means for the passes after it; by default it changes the checkpoint and nothing else.
  var effect: PassEffect { get }

  /// Checks the texts that the pass reads, before the first pass of a recipe runs; by default does nothing.
  ///
  /// - Parameters:
  ///   - input: The checkpoint that the recipe begins with, whose tokenizer all passes share.
  ///   - access: How further checkpoints are opened.
  /// - Throws: `FormatError` or `ModelError` when a text is malformed or too short.
  func checkTexts(for input: Checkpoint, _ access: FileAccess) throws

  /// Plans the work from headers alone.
  ///
  /// - Parameter input: The checkpoint, or the description of one that an earlier pass has yet to write: its tensors may
  ///   have no bytes.
  /// - Returns: What will be written, and how the work begins.
  /// - Throws: `PassError` or `FormatError` when the checkpoint does not fit the options.
  func plan(_ input: Checkpoint) throws -> PassPlan
}

extension Pass {
  /// No log.
  public static var writesLog: Bool { false }

  /// Changes the checkpoint and nothing else.
  public var effect: PassEffect { PassEffect() }

  /// Reads no texts.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {}
}

/// What a pass means for the passes after it.
public struct PassEffect: Sendable, Equatable {
  /// The state that `verify` compares with after a merge.
  public enum UnmergedState: Sendable {
    /// Stays what it was.
    case unchanged
    /// Becomes the checkpoint before this pass, which computes the same.
    case before
    /// Is no longer there: the pass brings something of its own into the checkpoint.
    case none
  }

  /// Whether the pass writes a checkpoint; a pass that only measures does not.
  public var writesCheckpoint = true
  /// Whether later passes take the result of this one for the original model.
  public var replacesOriginal = false
  /// What becomes of the unmerged state.
  public var unmerged = UnmergedState.unchanged

  /// Changes the checkpoint and nothing else.
  public init() {}
}

/// The work of one pass on one checkpoint, begun by its plan.
public protocol PassRun {
  /// Makes the new tensors of one replacement; called once for each, in the order of the output.
  ///
  /// - Parameter replacement: One of the plan.
  /// - Returns: The bytes of its `outputs`, in their order.
  /// - Throws: `PassError`, `ModelError` or `FormatError`; the run ends then.
  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes]

  /// Ends the work, after the last replacement.
  ///
  /// - Returns: What there is to report.
  /// - Throws: `PassError.checkFailed` when a check was not passed, or another error.
  mutating func finish() throws -> any PassReport
}
