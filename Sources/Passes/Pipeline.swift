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
    /// What linears are in a GGUF file.
    public var ggufType: GGUFLinearType
    /// Whether an output whose format does not hold the result gets the nearest.
    public var isLossy: Bool
    /// Whether checkpoints are mapped or read.
    public var access: FileAccess
    /// Whether the finished steps of an earlier run are taken over, and those of this one stay when it fails.
    public var resumes: Bool
    /// The bytes of memory that passes keep to where they have the choice; nil leaves it to them.
    public var memoryLimit: Int?

    /// Chooses options.
    public init(
      force: Bool = false, version: String, logPath: String? = nil, container: ContainerOptions = .init(),
      shardByteLimit: Int? = nil, ggufType: GGUFLinearType = .auto, isLossy: Bool = false,
      access: FileAccess = .mapped, resumes: Bool = false, memoryLimit: Int? = nil
    ) {
      self.force = force
      self.version = version
      self.logPath = logPath
      self.container = container
      self.shardByteLimit = shardByteLimit
      self.ggufType = ggufType
      self.isLossy = isLossy
      self.access = access
      self.resumes = resumes
      self.memoryLimit = memoryLimit
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
    let input = try Checkpoint.open(path: recipe.input.resolved, access: options.access)
    var current = input
    var plan = PipelinePlan(input: input)
    for passOptions in recipe.passes {
      guard let pass = passOptions.pass else {
        plan.add(passOptions.name)
        continue
      }
      let step = try pass.plan(current)
      plan.add(passOptions.name, step)
      current = current.replacing(contents: step.contents, assets: step.assets)
    }
    try checkRepresentable(current, madeFrom: input.contents)
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
    let input = try Checkpoint.open(path: recipe.input.resolved, access: options.access)
    for pass in recipe.passes.compactMap(\.pass) { try pass.requireTexts(for: input) }
    let workspace = try OutputWorkspace(
      target: recipe.output.resolved, force: options.force,
      inputs: [recipe.input.resolved] + recipe.adapterPaths, keepsLeftovers: options.resumes)
    defer { workspace.discard() }
    let journal = try RunJournal(
      in: workspace, try RunConditions(recipe, options), resumes: options.resumes)
    let origin = try Origin(recipe: recipe, input: input, version: options.version)
    var run = PipelineRun(
      recipe, options, workspace: workspace, journal: journal, input: input, origin: origin,
      progress: progress)
    try workspace.namingTarget {
      try run.execute()
      try workspace.publish(PipelineRun.outputName)
    }
    return run.report
  }

  /// Whether a run that failed has left finished steps, which another one can go on with.
  public var hasFinishedSteps: Bool {
    options.resumes && OutputWorkspace.isLeft(besides: recipe.output.resolved)
  }

  private func requireMeaningfulOptions() throws {
    let format = recipe.outputFormat
    if let path = options.logPath {
      guard path != recipe.output.resolved else { throw PassError.usage("--log \(path): is the output") }
      try SideFile.requirePlace(at: path, mayReplace: options.force || options.resumes)
    }
    guard format == .gguf || options.ggufType == .auto else {
      throw PassError.usage("\(recipe.output.resolved): a GGUF type goes with a GGUF file only")
    }
    guard format.dependsOnValues || !options.isLossy else {
      throw PassError.usage(
        "\(recipe.output.resolved): --lossy has no meaning, \(format.rawValue) holds every result")
    }
  }

  /// Refuses early what the format of the output does not hold.
  private func checkRepresentable(_ result: Checkpoint, madeFrom input: CheckpointContents) throws {
    switch recipe.outputFormat {
    case .gguf:
      // What was packed before may have tables that F16 holds; those of a pass are not made for it.
      let packed = Set(result.contents.quantization.keys).subtracting(input.quantization.keys)
      try GGUFOutput(result, path: recipe.output.resolved).requireRepresentable(options.gguf, packing: packed)
    case .mlx: try result.contents.validateForMLX(path: recipe.output.resolved)
    case .rilq, .safetensors, .gptq, .gptqV2, .autoRound, .compressedTensors: break
    }
  }
}

extension Pipeline.Options {
  /// How a GGUF file is written.
  var gguf: GGUFExportOptions { GGUFExportOptions(linearType: ggufType, isLossy: isLossy) }
}

extension OutputWorkspace {
  /// Does something; an error about a file of the workspace names the target instead.
  fileprivate func namingTarget(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as FormatError {
      throw FormatError(publicPath(of: error.path), byte: error.byteOffset, at: error.place, error.problem)
    } catch ModelError.tokenOutOfRange(let path?, let id, let size) {
      throw ModelError.tokenOutOfRange(path: publicPath(of: path), id: id, vocabularySize: size)
    }
  }
}

extension OutputFormat {
  /// Whether what is written depends on values, so that the finished checkpoint must be there before.
  var dependsOnValues: Bool { self == .gguf || integerFormat != nil }
}

extension PassOptions {
  /// The pass that changes a checkpoint, or nil for verification.
  var pass: (any Pass)? {
    switch self {
    case .rotate(let options): RotatePass(options)
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
