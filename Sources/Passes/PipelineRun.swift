import Checkpoints
import Kernels
import Models

/// A run of planned passes, step after step.
struct PipelineRun {
  static let outputName = "output"
  private static let unfinishedName = "unfinished"
  /// The relative error by rounding sums with 1 to F32.
  private static let roundingTolerance = 1e-6
  private let recipe: Recipe
  private let options: Pipeline.Options
  private var plans: PassPlans
  private let workspace: OutputWorkspace
  private let journal: RunJournal
  private let origin: Origin
  private let progress: ProgressHandler
  private let notices: [String]
  /// Whether the output has the linears of all experts of a layer in one tensor, unlike the checkpoint.
  private let stacksExperts: Bool
  /// Whether the output has free tables where the checkpoint has super-blocks or zero points.
  private let freesTables: Bool
  private var state: RunState
  private var bytes = 0
  private var outputReport: OutputReport?
  private var passes: [PipelineReport.Pass] = []

  init(
    _ recipe: Recipe, _ options: Pipeline.Options, _ plans: PassPlans, workspace: OutputWorkspace,
    journal: RunJournal, input: Checkpoint, origin: Origin, progress: @escaping ProgressHandler
  ) {
    self.recipe = recipe
    self.options = options
    self.plans = plans
    self.workspace = workspace
    self.journal = journal
    self.origin = origin
    self.progress = progress
    let isForMLX = recipe.outputFormat == .mlx
    let different = isForMLX ? (try? ModelConfiguration(of: plans.result))?.noticesForMLX : nil
    notices = input.notices + (different ?? [])
    stacksExperts = isForMLX && plans.result.hasExperts
    freesTables = isForMLX && plans.result.contents.quantization.values.contains { !$0.isFree }
    state = RunState(input: input)
  }

  /// Describes the run; call it while the output is in the workspace.
  ///
  /// - Throws: `FormatError` when an input could not be read.
  func report() throws -> PipelineReport {
    PipelineReport(
      input: recipe.input.resolved, output: recipe.output.resolved, passes: passes, bytes: bytes,
      bitsPerWeight: outputReport?.bitsPerWeight ?? state.current.storedSizes.bitsPerWeight,
      outputReport: outputReport, notices: notices + (outputReport?.notices ?? []),
      record: try RunRecord(
        of: state.input, output: state.current, format: recipe.outputFormat, origin: origin))
  }

  /// Runs every step that is not finished yet.
  mutating func execute() throws {
    for (index, step) in steps.enumerated() {
      let isResumed = index < journal.finished.count
      let done = isResumed ? Done(journal.finished[index]) : try perform(step, index)
      if !isResumed { try journal.add(done.record) }
      try note(done, of: step, isResumed: isResumed)
    }
  }

  /// The passes, and a copy if none of them writes the output.
  private var steps: [Step] {
    let last = plans.steps.lastIndex { $0.pass.effect.writesCheckpoint }
    let copies = last == nil || recipe.outputFormat.dependsOnValues || stacksExperts || freesTables
    var steps = plans.steps.indices.map { Step.pass($0, isLast: $0 == last && !copies) }
    if copies { steps.insert(.copy, at: last.map { $0 + 1 } ?? 0) }
    return steps
  }

  /// Records the result of a step.
  private mutating func note(_ done: Done, of step: Step, isResumed: Bool) throws {
    let output = try done.record.file.map {
      try Checkpoint.open(path: workspace.path($0), access: options.access)
    }
    if output != nil { bytes = done.record.bytes }
    switch step {
    case .copy:
      outputReport = OutputReport(done.record.report)
      state.advance(by: PassEffect(), to: output)
    case .pass(let index, _):
      state.advance(by: plans.steps[index].pass.effect, to: output)
      if let output, !output.contents.hasSameWeights(as: plans[index].contents) {
        try plans.plan(from: index + 1, output)
      }
      passes.append(
        PipelineReport.Pass(
          name: done.record.name, seconds: done.record.seconds, report: done.report, isResumed: isResumed,
          peakMemory: done.record.memory))
    }
  }

  private mutating func perform(_ step: Step, _ index: Int) throws -> Done {
    let begin = ContinuousClock.now
    switch step {
    case .copy:
      let (byteCount, report) = try copy()
      return Done(
        RunJournal.Step(
          name: "copy", file: Self.outputName, bytes: byteCount, seconds: begin.secondsSince,
          report: report.json, memory: ProcessMemory.peakByteCount))
    case .pass(let number, let isLast):
      let pass = plans.steps[number].pass
      let written =
        pass.effect.writesCheckpoint ? try write(number, isLast: isLast, index) : try measure(number, index)
      return Done(
        RunJournal.Step(
          name: plans.steps[number].name, file: written.file, bytes: written.bytes,
          seconds: begin.secondsSince, report: written.report.json, memory: ProcessMemory.peakByteCount),
        written.report)
    }
  }

  /// The result of a step of a pass: its file, if any, the bytes of the file, and its report.
  private typealias Written = (file: String?, bytes: Int, report: any PassReport)

  /// Runs a pass that writes nothing.
  private func measure(_ number: Int, _ index: Int) throws -> Written {
    var run = try plans[number].begin(state.current, context(of: number, journal.state(of: index)))
    return (nil, 0, try run.finish())
  }

  /// Runs one pass into a file of the workspace.
  private mutating func write(_ number: Int, isLast: Bool, _ index: Int) throws -> Written {
    if let refined = try plans[number].refine?(state.current, context(of: number)) {
      plans[number] = refined
      try plans.plan(from: number + 1, state.current.replacing(contents: refined.contents))
    }
    let plan = plans[number]
    let path = workspace.path(Self.unfinishedName)
    let writer =
      isLast
      ? try makeOutputWriter(plan.contents, from: state.current, path: path)
      : try ContainerWriter(plan.contents, path: path, options: ContainerOptions(compression: .none))
    let source = try plan.source(state.current)
    let run = try plan.begin(source, context(of: number, journal.state(of: index)))
    let report = try PlanWriter(plan: plan, input: source).write(into: writer, run)
    let byteCount = try finish(writer, plan.contents, recordsOrigin: isLast)
    let name = isLast ? Self.outputName : "step-\(index).rilq"
    try workspace.complete(Self.unfinishedName, as: name)
    return (name, byteCount, report)
  }

  /// Returns the context of a pass; `resumption` is the file where it can save its state.
  private func context(of number: Int, _ resumption: PassState? = nil) -> PassContext {
    PassContext(
      state: state, access: options.access, memoryLimit: options.memoryLimit, mayReplace: options.force,
      progress: progress, work: WorkFiles(path: workspace.path, keep: journal.keep),
      resumption: resumption, logPath: options.group.isFirst ? options.logPath : nil, group: options.group,
      laterWindows: plans.steps[(number + 1)...].requestedWindows)
  }

  private func finish(
    _ writer: any CheckpointWriter, _ contents: CheckpointContents, recordsOrigin: Bool
  ) throws -> Int {
    if recordsOrigin, let writer = writer as? any MetadataLastWriter {
      writer.metadata = try origin.added(to: contents.metadata)
    }
    return try writer.finish()
  }

  private func makeOutputWriter(
    _ contents: CheckpointContents, from source: Checkpoint, path: String
  ) throws -> any CheckpointWriter {
    let shardByteLimit = options.shardByteLimit ?? SafetensorsFolderWriter.defaultShardByteLimit
    switch recipe.outputFormat {
    case .rilq: return try ContainerWriter(contents, path: path, options: options.container)
    case .safetensors:
      return try SafetensorsFolderWriter(contents, folder: path, shardByteLimit: shardByteLimit)
    case .mlx:
      return try SafetensorsFolderWriter(
        contents, folder: path, shardByteLimit: shardByteLimit, isForMLX: true)
    case .gguf: preconditionFailure("written as a whole")
    case .gptq, .gptqV2, .autoRound, .compressedTensors:
      return try makeIntegerWriter(contents, from: source, path: path, shardByteLimit: shardByteLimit)
    }
  }

  private func makeIntegerWriter(
    _ contents: CheckpointContents, from source: Checkpoint, path: String, shardByteLimit: Int
  ) throws -> IntegerFolderWriter {
    guard let format = recipe.outputFormat.integerFormat else { preconditionFailure("another format") }
    return try IntegerFolderWriter(
      contents, source: source, folder: path, format: format, allowsLoss: options.isLossy,
      shardByteLimit: shardByteLimit)
  }
}

extension PipelineRun {
  /// Writes the checkpoint in the output format, reads it back and compares.
  private func copy() throws -> (byteCount: Int, report: OutputReport) {
    let path = workspace.path(Self.unfinishedName)
    var copied = try recipe.outputFormat == .gguf ? writeGGUF(path) : writeCopy(path)
    try prove(try Checkpoint.open(path: path, access: options.access), &copied)
    try workspace.complete(Self.unfinishedName, as: Self.outputName)
    return (copied.byteCount, copied.report)
  }

  /// A copy that was written.
  private struct Copied {
    let byteCount: Int
    var report: OutputReport
    /// The checkpoint that was written, with the tensor names that a reader of the output gives.
    let source: Checkpoint
    /// The tensors that the output does not need.
    var redundant: Set<String> = []
    /// The tensors that are read back with their last digits rounded.
    var rounded: Set<String> = []
  }

  private func writeGGUF(_ path: String) throws -> Copied {
    var contents = state.current.contents
    contents.metadata = try origin.added(to: contents.metadata)
    let output = try GGUFOutput(
      state.current.replacing(contents: contents), path: recipe.output.resolved)
    let (byteCount, report, roundedTensors) = try output.write(to: path, options.gguf)
    return Copied(
      byteCount: byteCount, report: report, source: output.checkpoint,
      redundant: output.redundantTensors, rounded: roundedTensors)
  }

  private func writeCopy(_ path: String) throws -> Copied {
    let source = stacksExperts ? try state.current.separatingExperts() : state.current
    let free =
      recipe.outputFormat.integerFormat != nil
      ? source.freeingZeroPoints() : freesTables ? source.freeingTablesForMLX() : source
    let written = stacksExperts ? try free.stackingExpertsForMLX() : free
    let writer = try makeOutputWriter(written.contents, from: written, path: path)
    try PlanWriter.copy(written.contents, from: written, into: writer)
    let byteCount = try finish(writer, written.contents, recordsOrigin: true)
    var report = OutputReport()
    report.representation = (writer as? IntegerFolderWriter)?.report
    return Copied(byteCount: byteCount, report: report, source: source)
  }

  /// Compares every tensor of the output with its source, both unpacked; redundant tensors can be missing.
  private func prove(_ output: Checkpoint, _ copied: inout Copied) throws {
    let difference = try CheckpointDifference(copied.source, output, progress: progress)
    let missing =
      difference.tensors.inFirst.filter { !copied.redundant.contains($0) } + difference.tensors.inSecond
    let differing = difference.pairs.filter { pair in
      !pair.isWithin(copied.rounded.contains(pair.first.name) ? Self.roundingTolerance : 0)
    }
    let unequal = missing + differing.map(\.first.name)
    if let name = unequal.first, !options.isLossy {
      throw PassError.notExact(
        "\(recipe.output.resolved): tensor '\(name)': what was written gives other values, as do "
          + "\(unequal.count - 1) more tensors; this is a fault of rilq")
    }
    copied.report.isProven = unequal.isEmpty
    copied.report.proof = difference.pairs.map {
      OutputReport.Proof(tensor: $0.first.name, isEqual: $0.isWithin(0))
    }
  }
}

/// A step of a run.
private enum Step {
  /// Writes the checkpoint in the output format.
  case copy
  /// A pass by its index in the recipe; the last one that writes a checkpoint can write the output.
  case pass(Int, isLast: Bool)
}

/// A step that was done, by this or an earlier run.
private struct Done {
  let record: RunJournal.Step
  let report: any PassReport

  init(_ record: RunJournal.Step, _ report: (any PassReport)? = nil) {
    self.record = record
    self.report = report ?? RecordedReport(record.report)
  }
}
