public import Checkpoints
import Foundation
public import Kernels
public import Models

/// Runs a recipe: input, passes, output.
///
/// Every pass that changes the checkpoint writes a file; the last one writes the output itself. The files are
/// in a folder beside the target that is removed at the end of the run. The target appears when everything,
/// including verification, has succeeded. A killed run leaves the folder, and another run can resume after
/// the last finished step.
///
/// Several processes can do a run together: each runs every pass in a folder of its own, and they share the
/// windows that passes compute. The output is the same as that of one process.
public struct Pipeline {
  /// The options of a run in addition to the recipe.
  public struct Options: Sendable {
    /// Whether an existing target is replaced.
    public var force: Bool
    /// The program version that is recorded in the output.
    public var version: String
    /// The file that gets one line per calibration update; nil for none.
    public var logPath: String?
    /// How sections of a packed container are compressed.
    public var container: ContainerOptions
    /// The maximum size of the tensors in one safetensors file, in bytes; nil for 5 GB.
    public var shardByteLimit: Int?
    /// The type of linears in a GGUF file.
    public var ggufType: GGUFLinearType
    /// Whether values are rounded if the output format cannot hold them exactly.
    public var isLossy: Bool
    /// Whether checkpoints are mapped or read.
    public var access: FileAccess
    /// Whether this run takes over the finished steps of an earlier run, and keeps its own when it fails.
    public var resumes: Bool
    /// The memory limit of passes where they have a choice, in bytes; nil lets them decide.
    public var memoryLimit: Int?
    /// The processes that share the work; rank 0 writes the output, the others only help.
    public var group: any ProcessGroup

    /// Creates options.
    public init(
      force: Bool = false, version: String = Pipeline.version, logPath: String? = nil,
      container: ContainerOptions = .init(), shardByteLimit: Int? = nil, ggufType: GGUFLinearType = .auto,
      isLossy: Bool = false, access: FileAccess = .mapped, resumes: Bool = false, memoryLimit: Int? = nil,
      group: any ProcessGroup = SingleProcess()
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
      self.group = group
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

  /// Plans every pass from headers alone and writes nothing.
  public func plan() throws -> PipelinePlan {
    let input = try openInput()
    return try PipelinePlan(try planPasses(of: input), input: input)
  }

  /// Runs the passes and publishes the output.
  ///
  /// - Parameters:
  ///   - progress: Called with the progress of the current pass.
  ///   - didBegin: Called after all advance checks, when the first step begins.
  ///   - willPublish: Called with the report and the path of the complete output, before it gets its name;
  ///     may add files to an output folder. Of several processes only rank 0 calls it.
  /// - Returns: A report of the run.
  /// - Throws: The first error; the target is then unchanged.
  public func run(
    progress: @escaping ProgressHandler = { _ in }, didBegin: () -> Void = {},
    willPublish: (PipelineReport, String) throws -> Void = { _, _ in }
  ) throws -> PipelineReport {
    let group = options.group
    let input = try openInput()
    let plans = try planPasses(of: input)
    if group.count > 1, let reason = plans.reasonToBeAlone { throw PassError.usage(reason) }
    for step in recipe.passes { try step.pass.checkTexts(for: input, options.access) }
    let workspace = try OutputWorkspace(
      target: recipe.output.resolved, force: options.force,
      inputs: [recipe.input.resolved] + recipe.adapterPaths, rank: group.rank,
      keepsLeftovers: options.resumes && group.isFirst)
    defer { workspace.discard() }
    let conditions = try RunConditions(recipe, options)
    try group.requireAgreement(
      version: options.version, request: conditions.request, paths: recipe.readPaths)
    let journal = try RunJournal(in: workspace, conditions, resumes: options.resumes, sharedOver: group)
    let origin = try Origin(recipe: recipe, input: input, version: options.version)
    var run = PipelineRun(
      recipe, options, plans, workspace: workspace, journal: journal, input: input, origin: origin,
      progress: progress)
    didBegin()
    return try workspace.namingTarget {
      try run.execute()
      let report = try run.report()
      guard group.isFirst else { return report }
      try willPublish(report, workspace.path(PipelineRun.outputName))
      try workspace.publish(PipelineRun.outputName)
      return report
    }
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

  /// Whether a failed run has left finished steps that another run can resume from.
  public var hasFinishedSteps: Bool {
    options.resumes && OutputWorkspace.isLeft(besides: recipe.output.resolved)
  }

  private func requireMeaningfulOptions() throws {
    let format = recipe.outputFormat
    let named = OutputFormat(inferredFrom: recipe.output.written)
    guard named == .safetensors || named == format else {
      throw PassError.usage(
        "\(recipe.output.resolved): its name says \(named.rawValue), but the format is to be \(format.rawValue)"
      )
    }
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

  /// Rejects a result that the output format cannot hold, as far as headers show it.
  private func checkRepresentable(_ result: Checkpoint, madeFrom input: CheckpointContents) throws {
    // Tables of earlier packed modules can fit; those of a pass are not made to fit.
    let packed = Set(result.contents.quantization.filter { input.quantization[$0.key] != $0.value }.keys)
    switch recipe.outputFormat {
    case .gguf:
      try GGUFOutput(result, path: recipe.output.resolved).requireRepresentable(options.gguf, packing: packed)
    case .mlx:
      let written = try result.freeingTablesForMLX().stackingExpertsForMLX()
      try written.contents.validateForMLX(path: recipe.output.resolved)
      // A model of a family that is not understood is written as it is.
      try (try? ModelConfiguration(of: result))?.requireMLX(
        result.separatingExperts().contents, path: recipe.output.resolved)
    case .gptq, .gptqV2, .autoRound, .compressedTensors:
      guard !options.isLossy else { return }
      try recipe.outputFormat.integerFormat?.requireRepresentable(
        result.contents, packing: packed, path: recipe.output.resolved)
    case .rilq, .safetensors: break
    }
  }
}

extension Pipeline.Options {
  /// The options of writing a GGUF file.
  var gguf: GGUFExportOptions { GGUFExportOptions(linearType: ggufType, isLossy: isLossy) }
}

extension OutputWorkspace {
  /// Runs `body`; an error about a file of the workspace names the target instead.
  fileprivate func namingTarget<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as FormatError {
      throw FormatError(publicPath(of: error.path), byte: error.byteOffset, at: error.place, error.problem)
    } catch ModelError.tokenOutOfRange(let path?, let id, let size) {
      throw ModelError.tokenOutOfRange(path: publicPath(of: path), id: id, vocabularySize: size)
    }
  }
}

extension OutputFormat {
  /// Whether the written bytes depend on values, so that the checkpoint must be finished first.
  var dependsOnValues: Bool { self == .gguf || integerFormat != nil }
}

/// The plans of a recipe's passes, each for the result of the previous one.
struct PassPlans {
  private let input: Checkpoint
  /// The passes, in the order they run.
  let steps: [PassOptions]
  private var plans: [PassPlan] = []

  /// Plans every pass.
  init(_ steps: [PassOptions], _ input: Checkpoint) throws {
    self.steps = steps
    self.input = input
    try plan(from: 0, input)
  }

  /// The plan of a pass; setting it does not change the plans after it.
  subscript(index: Int) -> PassPlan {
    get { plans[index] }
    set { plans[index] = newValue }
  }

  /// Why several processes cannot do the run together; nil when they can.
  var reasonToBeAlone: String? { plans.lazy.compactMap(\.onlyAlone).first }

  /// The description of the last pass's result.
  var result: Checkpoint { plans.reduce(input) { $1.result(from: $0) } }

  /// Plans the passes from an index on again, for a checkpoint other than the planned one.
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
  /// Describes the result, including the files with new contents.
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
