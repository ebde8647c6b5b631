public import Checkpoints
import Kernels
import Models

/// Compares the checkpoint with the original, the state before the last merge, or another one; writes
/// nothing.
public struct VerifyPass: Pass, WindowRequestingPass {
  /// The name in recipes.
  public static let name = "verify"
  /// The summary for help.
  public static let summary =
    "Compare two checkpoints' outputs on the same tokens; exit code 1 beyond a limit."
  /// The options of the pass.
  public var options: VerifyOptions

  /// Takes options.
  public init(_ options: VerifyOptions) { self.options = options }

  /// The pass writes no checkpoint.
  public var effect: PassEffect {
    var effect = PassEffect()
    effect.writesCheckpoint = false
    return effect
  }

  /// Reads the text once with the reference's tokenizer.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {
    guard let text = options.text else { return }
    var reference = input
    if case .path(let path) = options.against {
      reference = try Checkpoint.open(path: path.resolved, access: access)
    }
    _ = try EvaluationWindows(
      path: text.resolved, window: options.window, maxTokens: options.maxTokens,
      tokenizer: try Tokenizer(of: reference))
  }

  var windowSource: WindowSource? { options.sampledSource }

  /// Creates a plan without changes.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    var plan = PassPlan(unchanged: input) { [options] input, context in
      try VerifyRun(options, candidate: input, context)
    }
    // Once through both models.
    let work = try TokenWork(of: input, length: options.window)
    plan.work = WorkEstimate(2 * Double(estimatedTokenCount) * work.forward, .f32)
    return plan
  }

  /// The number of tokens to compare; that of a text is estimated by its bytes, at four for each.
  private var estimatedTokenCount: Int {
    guard let text = options.text else { return (options.sampled ?? 0) * options.window }
    let bytes = (try? FileSystem.requireRegularFile(text.resolved)) ?? 0
    return min(bytes / 4, options.maxTokens ?? .max)
  }
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func verify(_ options: VerifyOptions) -> PassOptions { PassOptions(VerifyPass(options)) }
}

/// Compares the two checkpoints at the end of the run.
private struct VerifyRun: PassRun {
  private var verification: Verification

  init(_ options: VerifyOptions, candidate: Checkpoint, _ context: PassContext) throws {
    let reference: Checkpoint
    switch options.against {
    case .unmerged:
      guard let unmerged = context.state.unmerged else {
        throw PassError.usage("verify: there was no merge to compare with")
      }
      reference = unmerged
    case .input, nil: reference = context.state.input
    case .path(let path): reference = try Checkpoint.open(path: path.resolved, access: context.access)
    }
    let sampled = SampledWindows(
      of: context.original, context.work, later: context.laterWindows, group: context.group,
      progress: context.progress)
    verification = try Verification(
      reference: reference, candidate: candidate, options, sampled, group: context.group,
      progress: context.progress)
    verification.against = (options.against ?? .input).word
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    preconditionFailure("module '\(replacement.module)': nothing was to be changed")
  }

  mutating func finish() throws -> any PassReport {
    guard verification.passed else {
      throw PassError.checkFailed(
        "verify against \(verification.against ?? "input"): \(verification.failure); nothing is written")
    }
    return verification
  }
}
