public import Checkpoints
import Foundation
public import Models

/// Runs a recipe: input, passes, output.
///
/// Every pass that changes the checkpoint writes a file, the last one the output itself, all in a folder beside the
/// target that goes away with the run; the target appears when everything, verification included, has succeeded.
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
    /// How a GGUF file is written.
    public var gguf: GGUFExportOptions

    /// Chooses options.
    public init(
      force: Bool = false, version: String, logPath: String? = nil, container: ContainerOptions = .init(),
      gguf: GGUFExportOptions = .init()
    ) {
      self.force = force
      self.version = version
      self.logPath = logPath
      self.container = container
      self.gguf = gguf
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
    try requireMeaningfulOptions()
    var current = try Checkpoint.open(path: recipe.input.resolved)
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
    try checkRepresentable(current)
    plan.finish(with: current.contents)
    return plan
  }

  /// Runs the passes and publishes the output.
  ///
  /// - Parameter progress: Told how far the current pass is.
  /// - Returns: What was done.
  /// - Throws: The first error; then the target is as it was.
  public func run(progress: @escaping ProgressHandler = { _ in }) throws -> PipelineReport {
    _ = try plan()
    let input = try Checkpoint.open(path: recipe.input.resolved)
    let workspace = try OutputWorkspace(
      target: recipe.output.resolved, force: options.force,
      inputs: [recipe.input.resolved] + recipe.adapterPaths)
    defer { workspace.discard() }
    var run = PipelineRun(
      recipe, options, workspace: workspace, input: input,
      origin: try Origin(recipe: recipe, input: input, version: options.version), progress: progress)
    try run.execute()
    try workspace.publish(PipelineRun.outputName)
    return run.report
  }

  private func requireMeaningfulOptions() throws {
    guard recipe.outputFormat != .gguf, options.gguf != GGUFExportOptions() else { return }
    throw PassError.usage("\(recipe.output.resolved): a GGUF type and --lossy go with a GGUF file only")
  }

  /// Refuses early what the format of the output does not hold.
  private func checkRepresentable(_ result: Checkpoint) throws {
    switch recipe.outputFormat {
    case .gguf: _ = try GGUFOutput(result, path: recipe.output.resolved)
    case .mlx: try result.contents.validateForMLX(path: recipe.output.resolved)
    case .rilq, .safetensors: break
    }
  }
}

/// The state of a run between its passes.
private struct PipelineRun {
  static let outputName = "output"
  private let recipe: Recipe
  private let options: Pipeline.Options
  private let workspace: OutputWorkspace
  private let input: Checkpoint
  private let origin: Origin
  private let progress: ProgressHandler
  private var current: Checkpoint
  private var unmerged: Checkpoint?
  private var bytes = 0
  private var bitsPerWeight: Double?
  private var passes: [PipelineReport.Pass] = []
  private var details: [JSONValue.Member] = []

  init(
    _ recipe: Recipe, _ options: Pipeline.Options, workspace: OutputWorkspace, input: Checkpoint,
    origin: Origin,
    progress: @escaping ProgressHandler
  ) {
    self.recipe = recipe
    self.options = options
    self.workspace = workspace
    self.input = input
    self.origin = origin
    self.progress = progress
    current = input
  }

  var report: PipelineReport {
    PipelineReport(
      input: recipe.input.resolved, output: recipe.output.resolved, passes: passes, bytes: bytes,
      bitsPerWeight: bitsPerWeight ?? current.contents.bitsPerWeight, details: details)
  }

  mutating func execute() throws {
    // Types of a GGUF file depend on values, so that it is written from a finished checkpoint.
    let isGGUF = recipe.outputFormat == .gguf
    let last = isGGUF ? nil : recipe.passes.lastIndex { $0.pass != nil }
    if last == nil && !isGGUF { try write(CopyPass(), isLast: true, step: 0) }
    for (index, passOptions) in recipe.passes.enumerated() {
      let begin = ContinuousClock.now
      let result: JSONValue
      if let pass = passOptions.pass {
        if pass.name == "merge" { unmerged = passOptions.adapter == nil ? current : nil }
        result = try write(pass, isLast: index == last, step: index)
      } else if case .verify(let verify) = passOptions {
        result = try self.verify(verify)
      } else {
        preconditionFailure("a pass that neither changes nor verifies")
      }
      passes.append(
        PipelineReport.Pass(name: passOptions.name, seconds: begin.secondsSince, report: result))
    }
    if isGGUF { try writeGGUF() }
  }

  private mutating func writeGGUF() throws {
    var contents = current.contents
    contents.metadata = try origin.added(to: contents.metadata)
    let output = try GGUFOutput(current.replacing(contents: contents), path: recipe.output.resolved)
    let written = try output.write(to: workspace.path(Self.outputName), options.gguf)
    (bytes, bitsPerWeight, details) = (written.byteCount, written.bitsPerWeight, written.details)
  }

  /// Runs one pass into a file of the workspace, and goes on with that file.
  @discardableResult
  private mutating func write(_ pass: any Pass, isLast: Bool, step: Int) throws -> JSONValue {
    let contents = try pass.plan(current).contents
    let path = workspace.path(isLast ? Self.outputName : "step-\(step).rilq")
    let writer = try makeWriter(contents, path: path, isLast: isLast)
    let context = PassContext(
      original: input, workPath: workspace.path, logPath: options.logPath, progress: progress)
    let report = try pass.run(current, into: writer, context)
    if isLast, let writer = writer as? any MetadataLastWriter {
      writer.metadata = try origin.added(to: contents.metadata)
    }
    let written = try writer.finish()
    if isLast { (bytes, representation) = (written, writer.report) }
    current = try Checkpoint.open(path: path)
    return report
  }

  private func makeWriter(
    _ contents: CheckpointContents, path: String, isLast: Bool
  ) throws -> any CheckpointWriter {
    guard isLast else {
      return try ContainerWriter(contents, path: path, options: ContainerOptions(compression: .none))
    }
    switch recipe.outputFormat {
    case .rilq: return try ContainerWriter(contents, path: path, options: options.container)
    case .safetensors: return try SafetensorsFolderWriter(contents, folder: path)
    case .mlx: return try SafetensorsFolderWriter(contents, folder: path, isForMLX: true)
    case .gguf: preconditionFailure("written from a finished checkpoint")
    }
  }

  private func verify(_ options: VerifyOptions) throws -> JSONValue {
    let reference: Checkpoint
    switch options.against {
    case .unmerged:
      guard let unmerged else { throw PassError.usage("verify: there was no merge to compare with") }
      reference = unmerged
    case .input, nil: reference = input
    case .path(let path): reference = try Checkpoint.open(path: path.resolved)
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
    case .attach(let options): options.adapter.map(PeftAttachPass.init) ?? AttachPass(options)
    case .calibrate(let options): CalibratePass(options)
    case .merge(let options): options.adapter.map { PeftMergePass(options, $0) } ?? MergePass(options)
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
