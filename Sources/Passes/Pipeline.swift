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
      force: Bool = false, version: String = Pipeline.version, logPath: String? = nil,
      container: ContainerOptions = .init(), shardByteLimit: Int? = nil, ggufType: GGUFLinearType = .auto,
      isLossy: Bool = false, access: FileAccess = .mapped, resumes: Bool = false, memoryLimit: Int? = nil
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

  /// The version of this package.
  public static let version = "0.1.0"

  private let recipe: Recipe
  private let options: Options

  /// Prepares a run.
  public init(_ recipe: Recipe, _ options: Options = Options()) {
    self.recipe = recipe
    self.options = options
  }

  /// What every pass would do, from headers alone; nothing is written.
  public func plan() throws -> PipelinePlan {
    let input = try openInput()
    return PipelinePlan(try planPasses(of: input), input: input)
  }

  /// Runs the passes and publishes the output.
  ///
  /// - Parameters:
  ///   - progress: Told how far the current pass is.
  ///   - didBegin: Called when everything that can be checked before is checked and the first step begins.
  /// - Returns: What was done.
  /// - Throws: The first error; then the target is as it was.
  public func run(
    progress: @escaping ProgressHandler = { _ in }, didBegin: () -> Void = {}
  ) throws -> PipelineReport {
    let input = try openInput()
    let plans = try planPasses(of: input)
    for step in recipe.passes { try step.pass.checkTexts(for: input, options.access) }
    let workspace = try OutputWorkspace(
      target: recipe.output.resolved, force: options.force,
      inputs: [recipe.input.resolved] + recipe.adapterPaths, keepsLeftovers: options.resumes)
    defer { workspace.discard() }
    let journal = try RunJournal(
      in: workspace, try RunConditions(recipe, options), resumes: options.resumes)
    let origin = try Origin(recipe: recipe, input: input, version: options.version)
    var run = PipelineRun(
      recipe, options, plans, workspace: workspace, journal: journal, input: input, origin: origin,
      progress: progress)
    didBegin()
    try workspace.namingTarget {
      try run.execute()
      try workspace.publish(PipelineRun.outputName)
    }
    return run.report
  }

  private func openInput() throws -> Checkpoint {
    try requireMeaningfulOptions()
    let input = try Checkpoint.open(path: recipe.input.resolved, access: options.access)
    try input.requireWholeAssets()
    return input
  }

  private func planPasses(of input: Checkpoint) throws -> PassPlans {
    let plans = try PassPlans(recipe.passes, input)
    try checkRepresentable(plans.result, madeFrom: input.contents)
    return plans
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
      let packed = Set(result.contents.quantization.filter { input.quantization[$0.key] != $0.value }.keys)
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

/// The plans of a recipe's passes, each made for what the one before will write.
struct PassPlans {
  private let input: Checkpoint
  /// The passes, in the order they run.
  let steps: [PassOptions]
  private var plans: [PassPlan] = []

  /// Plans every pass once.
  init(_ steps: [PassOptions], _ input: Checkpoint) throws {
    self.steps = steps
    self.input = input
    try plan(from: 0, input)
  }

  /// The plan of a pass; setting it leaves the plans after it as they are.
  subscript(index: Int) -> PassPlan {
    get { plans[index] }
    set { plans[index] = newValue }
  }

  /// The description of what the last pass writes.
  var result: Checkpoint { plans.reduce(input) { $1.result(from: $0) } }

  /// Plans the passes from one on anew, for a checkpoint that is not what was planned.
  mutating func plan(from index: Int, _ checkpoint: Checkpoint) throws {
    plans.removeSubrange(min(index, plans.count)...)
    var current = checkpoint
    for step in steps[index...] {
      let plan = try step.pass.plan(current)
      plans.append(plan)
      current = plan.result(from: current)
    }
  }
}

extension PassPlan {
  /// The description of what will be written, with the files that get other contents.
  fileprivate func result(from input: Checkpoint) -> Checkpoint {
    input.replacing(contents: contents, assets: assets)
  }
}

extension ContinuousClock.Instant {
  /// The seconds from this moment until now.
  package var secondsSince: Double {
    let duration = (ContinuousClock.now - self).components
    return Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
  }
}
