public import Checkpoints
import Foundation
public import Models

/// Runs a recipe: input, passes, output.
///
/// Every pass that changes the checkpoint writes a file, the last one the output itself, all in a folder beside the
/// target that goes away with the run; the target appears when everything, verification included, has succeeded.
/// A run that was killed leaves the folder, and another one can go on after its last finished step.
public struct Pipeline {
  /// What a run is told besides the recipe.
  public struct Options: Sendable {
    /// Whether an existing target is replaced.
    public var force: Bool
    /// The version that is recorded in the output.
    public var version: String
    /// Where calibration writes a line for each update, if anywhere.
    public var logPath: String?
    /// How sections of a packed container are compressed.
    public var container: ContainerOptions
    /// The bytes of tensors that a safetensors file may have; nil for 5 GB.
    public var shardByteLimit: Int?
    /// Whether checkpoints are mapped or read.
    public var access: FileAccess
    /// Whether the finished steps of an earlier run are taken over, and those of this one stay when it fails.
    public var resumes: Bool

    /// Chooses options.
    public init(
      force: Bool = false, version: String, logPath: String? = nil, container: ContainerOptions = .init(),
      shardByteLimit: Int? = nil, access: FileAccess = .mapped, resumes: Bool = false
    ) {
      self.force = force
      self.version = version
      self.logPath = logPath
      self.container = container
      self.shardByteLimit = shardByteLimit
      self.access = access
      self.resumes = resumes
    }
  }

  private let recipe: Recipe
  private let options: Options

  /// Prepares a run.
  public init(_ recipe: Recipe, _ options: Options) {
    self.recipe = recipe
    self.options = options
  }

  /// What every pass would do, from headers alone; nothing is written.
  public func plan() throws -> PipelinePlan {
    try requireWritableFormat()
    var current = try Checkpoint.open(path: recipe.input.resolved, access: options.access)
    var plan = PipelinePlan(input: current)
    for passOptions in recipe.passes {
      guard let pass = passOptions.pass else {
        plan.add(passOptions.name)
        continue
      }
      let step = try pass.plan(current)
      plan.add(passOptions.name, step)
      current = current.replacing(contents: step.contents)
    }
    plan.finish(with: current.contents)
    return plan
  }

  /// Runs the passes and publishes the output.
  ///
  /// - Parameter progress: Told how far the current pass is.
  /// - Returns: What was done.
  /// - Throws: The first error; then the target is as it was.
  public func run(progress: @escaping ProgressHandler = { _ in }) throws -> PipelineReport {
    try requireWritableFormat()
    _ = try plan()
    let input = try Checkpoint.open(path: recipe.input.resolved, access: options.access)
    let workspace = try OutputWorkspace(
      target: recipe.output.resolved, force: options.force, inputs: [recipe.input.resolved],
      keepsLeftovers: options.resumes)
    defer { workspace.discard() }
    let journal = try RunJournal(
      in: workspace, try RunConditions(recipe, options), resumes: options.resumes)
    let origin = try Origin(recipe: recipe, input: input, version: options.version, access: options.access)
    var run = PipelineRun(
      recipe, options, workspace: workspace, journal: journal, input: input, origin: origin,
      progress: progress
    )
    try run.execute()
    try workspace.publish(PipelineRun.outputName)
    return run.report
  }

  /// Whether a run that failed has left finished steps, which another one can go on with.
  public var hasFinishedSteps: Bool {
    options.resumes && OutputWorkspace.isLeft(besides: recipe.output.resolved)
  }

  private func requireWritableFormat() throws {
    guard recipe.outputFormat == .gguf else { return }
    throw PassError.usage(
      "\(recipe.output.resolved): writing GGUF is not supported; rilq and safetensors are")
  }
}

/// A step of a run.
private enum Step {
  case copy
  case change(any Pass, isLast: Bool)
  case verify(VerifyOptions)

  var name: String {
    switch self {
    case .copy: "copy"
    case .change(let pass, _): pass.name
    case .verify: "verify"
    }
  }
}

/// The state of a run between its passes.
private struct PipelineRun {
  static let outputName = "output"
  private static let unfinishedName = "unfinished"
  private let recipe: Recipe
  private let options: Pipeline.Options
  private let workspace: OutputWorkspace
  private let journal: RunJournal
  private let input: Checkpoint
  private let origin: Origin
  private let progress: ProgressHandler
  private var current: Checkpoint
  private var unmerged: Checkpoint?
  private var bytes = 0
  private var passes: [PipelineReport.Pass] = []

  init(
    _ recipe: Recipe, _ options: Pipeline.Options, workspace: OutputWorkspace, journal: RunJournal,
    input: Checkpoint, origin: Origin,
    progress: @escaping ProgressHandler
  ) {
    self.recipe = recipe
    self.options = options
    self.workspace = workspace
    self.journal = journal
    self.input = input
    self.origin = origin
    self.progress = progress
    current = input
  }

  var report: PipelineReport {
    PipelineReport(
      input: recipe.input.resolved, output: recipe.output.resolved, passes: passes, bytes: bytes,
      bitsPerWeight: current.contents.bitsPerWeight)
  }

  /// Does every step that is not finished yet.
  mutating func execute() throws {
    for (index, step) in steps.enumerated() {
      if step.name == "merge" { unmerged = current }
      let isResumed = index < journal.finished.count
      let record = isResumed ? journal.finished[index] : try perform(step, index)
      if !isResumed { try journal.add(record) }
      if let file = record.file {
        bytes = record.bytes
        current = try Checkpoint.open(path: workspace.path(file), access: options.access)
      }
      if case .copy = step { continue }
      passes.append(
        PipelineReport.Pass(
          name: record.name, seconds: record.seconds, report: record.report, isResumed: isResumed))
    }
  }

  /// The passes, with a copy before them when none of them writes.
  private var steps: [Step] {
    let last = recipe.passes.lastIndex { $0.pass != nil }
    let passes = recipe.passes.enumerated().map { index, options -> Step in
      if let pass = options.pass { return .change(pass, isLast: index == last) }
      guard case .verify(let verify) = options else {
        preconditionFailure("a pass that neither changes nor verifies")
      }
      return .verify(verify)
    }
    return (last == nil ? [.copy] : []) + passes
  }

  private func perform(_ step: Step, _ index: Int) throws -> RunJournal.Step {
    let begin = ContinuousClock.now
    switch step {
    case .copy: return try write(CopyPass(), isLast: true, index, since: begin)
    case .change(let pass, let isLast): return try write(pass, isLast: isLast, index, since: begin)
    case .verify(let verify):
      let report = try self.verify(verify)
      return RunJournal.Step(
        name: step.name, file: nil, bytes: 0, seconds: begin.secondsSince, report: report)
    }
  }

  /// Runs one pass into a file of the workspace.
  private func write(
    _ pass: any Pass, isLast: Bool, _ index: Int, since begin: ContinuousClock.Instant
  ) throws -> RunJournal.Step {
    var contents = try pass.plan(current).contents
    if isLast { contents.metadata = origin.added(to: contents.metadata) }
    let writer = try makeWriter(contents, path: workspace.path(Self.unfinishedName), isLast: isLast)
    let context = PassContext(
      original: input, access: options.access, workPath: workspace.path, logPath: options.logPath,
      progress: progress)
    let report = try pass.run(current, into: writer, context)
    let byteCount = try writer.finish()
    let name = isLast ? Self.outputName : "step-\(index).rilq"
    try workspace.complete(Self.unfinishedName, as: name)
    return RunJournal.Step(
      name: pass.name, file: name, bytes: byteCount, seconds: begin.secondsSince, report: report)
  }

  private func makeWriter(
    _ contents: CheckpointContents, path: String, isLast: Bool
  ) throws -> any CheckpointWriter {
    guard isLast else {
      return try ContainerWriter(contents, path: path, options: ContainerOptions(compression: .none))
    }
    switch recipe.outputFormat {
    case .rilq: return try ContainerWriter(contents, path: path, options: options.container)
    case .safetensors, .mlx:
      return try SafetensorsFolderWriter(
        contents, folder: path,
        shardByteLimit: options.shardByteLimit ?? SafetensorsFolderWriter.defaultShardByteLimit)
    case .gguf: preconditionFailure("refused before")
    }
  }

  private func verify(_ options: VerifyOptions) throws -> JSONValue {
    let reference: Checkpoint
    switch options.against {
    case .unmerged:
      guard let unmerged else { throw PassError.usage("verify: there was no merge to compare with") }
      reference = unmerged
    case .input, nil: reference = input
    case .path(let path): reference = try Checkpoint.open(path: path.resolved, access: self.options.access)
    }
    let verification = try Verification(
      reference: reference, candidate: current, options, progress: progress)
    guard verification.passed else {
      throw PassError.checkFailed("verify: \(verification.failure); nothing is written")
    }
    return verification.json
  }
}

/// Copies a checkpoint: the pass of a recipe that has none.
private struct CopyPass: Pass {
  var name: String { "copy" }

  func plan(_ input: Checkpoint) throws -> PassPlan {
    PassPlan(contents: input.contents, changes: [], memory: 0)
  }

  func run(_ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext) throws -> JSONValue
  {
    try writeTensors(of: input.contents, from: input, into: writer) { _ in nil }
    return .object([])
  }
}

extension PassOptions {
  /// The pass that changes a checkpoint, or nil for verification.
  fileprivate var pass: (any Pass)? {
    switch self {
    case .quantize(let options): QuantizePass(options)
    case .attach(let options): AttachPass(options)
    case .calibrate(let options): CalibratePass(options)
    case .merge(let options): MergePass(options)
    case .verify: nil
    }
  }
}

extension ContinuousClock.Instant {
  /// The seconds from this moment until now.
  package var secondsSince: Double {
    let duration = (ContinuousClock.now - self).components
    return Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
  }
}
