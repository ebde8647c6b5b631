public import Checkpoints

/// A step of a recipe: planned from headers, then run tensor by tensor.
///
/// A pass is a value that holds its options. `PassRegistry` lists the passes that recipes can name.
/// `Options.declarations` describes the options for recipes, the command line and the documentation.
public protocol Pass: Sendable {
  /// The options of the pass.
  associatedtype Options: PassOptionValues

  /// The name in recipes and on the command line: `quantize`.
  static var name: String { get }
  /// One sentence for the help of the pass's command.
  static var summary: String { get }
  /// Whether the pass appends lines to the file of `--log`. The default is false.
  static var writesLog: Bool { get }

  /// The options of this step.
  var options: Options { get set }
  /// Creates the pass with options.
  init(_ options: Options)

  /// The effect of the pass on later passes. By default it only changes the checkpoint.
  var effect: PassEffect { get }

  /// Checks the texts that the pass reads, before the first pass runs. The default does nothing.
  ///
  /// - Parameters:
  ///   - input: The first checkpoint of the recipe, whose tokenizer all passes share.
  ///   - access: How further checkpoints are opened.
  /// - Throws: `FormatError` or `ModelError` when a text is malformed or too short.
  func checkTexts(for input: Checkpoint, _ access: FileAccess) throws

  /// Plans the work from headers alone.
  ///
  /// - Parameter input: The checkpoint, or the description of a checkpoint that an earlier pass will write.
  ///   Its tensors can be without bytes.
  /// - Returns: The tensors to write, and a closure that begins the work.
  /// - Throws: `PassError` or `FormatError` when the checkpoint does not fit the options.
  func plan(_ input: Checkpoint) throws -> PassPlan
}

extension Pass {
  /// No log.
  public static var writesLog: Bool { false }

  /// Only changes the checkpoint.
  public var effect: PassEffect { PassEffect() }

  /// Reads no texts.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {}
}

/// The effect of a pass on later passes.
public struct PassEffect: Sendable, Equatable {
  /// The state that `verify` compares with after a merge.
  public enum UnmergedState: Sendable {
    /// The state does not change.
    case unchanged
    /// The state becomes the checkpoint before this pass, which computes the same.
    case before
    /// There is no such state: the pass adds values of its own to the checkpoint.
    case none
  }

  /// Whether the pass writes a checkpoint; false for a pass that only measures.
  public var writesCheckpoint = true
  /// Whether later passes use the result of this pass as the original model.
  public var replacesOriginal = false
  /// The effect on the unmerged state.
  public var unmerged = UnmergedState.unchanged

  /// Creates the effect of a pass that only changes the checkpoint.
  public init() {}
}

/// The work of one pass on one checkpoint, begun by its plan.
public protocol PassRun {
  /// Makes the new tensors of one replacement. Called once per replacement, in the order of the output.
  ///
  /// - Parameter replacement: A replacement of the plan.
  /// - Returns: The bytes of the replacement's `outputs`, in order.
  /// - Throws: `PassError`, `ModelError` or `FormatError`; any error ends the run.
  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes]

  /// Ends the work, after the last replacement.
  ///
  /// - Returns: The report of the pass.
  /// - Throws: `PassError.checkFailed` when a check failed, or another error.
  mutating func finish() throws -> any PassReport
}
