import Checkpoints
import Models

/// The state of a run between its steps.
struct PipelineRun {
  static let outputName = "output"
  private static let unfinishedName = "unfinished"
  private let recipe: Recipe
  private let options: Pipeline.Options
  private let workspace: OutputWorkspace
  private let journal: RunJournal
  private let input: Checkpoint
  /// What later passes compare with: the input, or what was made of it by the last rotation, whose activations they see.
  private var original: Checkpoint
  private let origin: Origin
  private let progress: ProgressHandler
  private var current: Checkpoint
  private var unmerged: Checkpoint?
  private var bytes = 0
  private var copyReport = JSONValue.object([])
  private var passes: [PipelineReport.Pass] = []

  init(
    _ recipe: Recipe, _ options: Pipeline.Options, workspace: OutputWorkspace, journal: RunJournal,
    input: Checkpoint, origin: Origin, progress: @escaping ProgressHandler
  ) {
    self.recipe = recipe
    self.options = options
    self.workspace = workspace
    self.journal = journal
    self.input = input
    self.origin = origin
    self.progress = progress
    current = input
    original = input
  }

  var report: PipelineReport {
    PipelineReport(
      input: recipe.input.resolved, output: recipe.output.resolved, passes: passes, bytes: bytes,
      bitsPerWeight: copyReport["bits_per_weight"]?.double ?? current.contents.bitsPerWeight,
      details: (copyReport.object ?? []).filter { $0.key != "bits_per_weight" },
      notices: input.contents.notices)
  }

  /// Does every step that is not finished yet.
  mutating func execute() throws {
    for (index, step) in steps.enumerated() {
      if case .change(let pass, _, let hasAdapter) = step, pass.name == "merge" {
        unmerged = hasAdapter ? nil : current
      }
      let isResumed = index < journal.finished.count
      let record = isResumed ? journal.finished[index] : try perform(step, index)
      if !isResumed { try journal.add(record) }
      if let file = record.file {
        bytes = record.bytes
        current = try Checkpoint.open(path: workspace.path(file), access: options.access)
        if step.name == "rotate" { original = current }
      }
      if case .copy = step {
        copyReport = record.report
        continue
      }
      passes.append(
        PipelineReport.Pass(
          name: record.name, seconds: record.seconds, report: record.report, isResumed: isResumed))
    }
  }

  /// The passes; with a copy where none of them writes the output.
  private var steps: [Step] {
    let last = recipe.passes.lastIndex { $0.pass != nil }
    let copies = last == nil || recipe.outputFormat.dependsOnValues
    var steps = recipe.passes.enumerated().map { index, options -> Step in
      if let pass = options.pass {
        return .change(pass, isLast: index == last && !copies, hasAdapter: options.adapter != nil)
      }
      guard case .verify(let verify) = options else {
        preconditionFailure("a pass that neither changes nor verifies")
      }
      return .verify(verify)
    }
    if copies { steps.insert(.copy, at: last.map { $0 + 1 } ?? 0) }
    return steps
  }

  private func perform(_ step: Step, _ index: Int) throws -> RunJournal.Step {
    let begin = ContinuousClock.now
    switch step {
    case .copy:
      let (byteCount, report) = try copy()
      return RunJournal.Step(
        name: step.name, file: Self.outputName, bytes: byteCount, seconds: begin.secondsSince, report: report)
    case .change(let pass, let isLast, _): return try write(pass, isLast: isLast, index, since: begin)
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
    let pass = try pass.prepared(for: current, context())
    let contents = try pass.plan(current).contents
    let path = workspace.path(Self.unfinishedName)
    let writer =
      isLast
      ? try makeOutputWriter(contents, path: path)
      : try ContainerWriter(contents, path: path, options: ContainerOptions(compression: .none))
    let (byteCount, report) = try run(
      pass, into: writer, contents, recordsOrigin: isLast, state: journal.state(of: index))
    let name = isLast ? Self.outputName : "step-\(index).rilq"
    try workspace.complete(Self.unfinishedName, as: name)
    return RunJournal.Step(
      name: pass.name, file: name, bytes: byteCount, seconds: begin.secondsSince, report: report)
  }

  /// What a pass is told; `state` is where it may keep how far it is.
  private func context(state: PassState? = nil) -> PassContext {
    PassContext(
      original: original, access: options.access,
      work: WorkFiles(path: workspace.path, keep: journal.keep), state: state,
      memoryLimit: options.memoryLimit, logPath: options.logPath, mayReplace: options.force,
      progress: progress)
  }

  private func run(
    _ pass: any Pass, into writer: any CheckpointWriter, _ contents: CheckpointContents, recordsOrigin: Bool,
    state: PassState? = nil
  ) throws -> (byteCount: Int, report: JSONValue) {
    let report = try pass.run(current, into: writer, context(state: state))
    if recordsOrigin, let writer = writer as? any MetadataLastWriter {
      writer.metadata = try origin.added(to: contents.metadata)
    }
    return (try writer.finish(), report)
  }

  private func makeOutputWriter(
    _ contents: CheckpointContents, path: String
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
      return try makeIntegerWriter(contents, path: path, shardByteLimit: shardByteLimit)
    }
  }

  private func makeIntegerWriter(
    _ contents: CheckpointContents, path: String, shardByteLimit: Int
  ) throws -> IntegerFolderWriter {
    guard let format = recipe.outputFormat.integerFormat else { preconditionFailure("another format") }
    return try IntegerFolderWriter(
      contents, source: current, folder: path, format: format, allowsLoss: options.isLossy,
      shardByteLimit: shardByteLimit)
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

extension PipelineRun {
  /// Writes the checkpoint as it is in the format of the output, reads it back and compares.
  private func copy() throws -> (byteCount: Int, report: JSONValue) {
    let path = workspace.path(Self.unfinishedName)
    var byteCount: Int
    var report = JSONValue.object([])
    if recipe.outputFormat == .gguf {
      var contents = current.contents
      contents.metadata = try origin.added(to: contents.metadata)
      let output = try GGUFOutput(current.replacing(contents: contents), path: recipe.output.resolved)
      let written = try output.write(to: path, options.gguf)
      byteCount = written.byteCount
      report = .object(
        written.details + [JSONValue.Member("bits_per_weight", .double(written.bitsPerWeight))])
    } else {
      let writer = try makeOutputWriter(current.contents, path: path)
      (byteCount, _) = try run(CopyPass(), into: writer, current.contents, recordsOrigin: true)
      if let writer = writer as? IntegerFolderWriter { report.set("representation", to: writer.report) }
    }
    report.set("proof", to: try proof(of: try Checkpoint.open(path: path, access: options.access)))
    try workspace.complete(Self.unfinishedName, as: Self.outputName)
    return (byteCount, report)
  }

  /// Compares every tensor of the output with the one it was made from, both unpacked.
  private func proof(of output: Checkpoint) throws -> JSONValue {
    let difference = try CheckpointDifference(current, output, progress: progress)
    let missing = difference.tensors.inFirst + difference.tensors.inSecond
    let unequal = missing + difference.pairs.filter { !$0.isWithin(0) }.map(\.first.name)
    if let name = unequal.first, !options.isLossy {
      throw PassError.notExact(
        "\(recipe.output.resolved): tensor '\(name)': what was written gives other values, as do "
          + "\(unequal.count - 1) more tensors; this is a fault of rilq")
    }
    let tensors = difference.pairs.map { pair in
      JSONValue.object([
        JSONValue.Member("name", .string(pair.first.name)),
        JSONValue.Member("equal", .bool(pair.isWithin(0))),
      ])
    }
    return .object([
      JSONValue.Member("equal", .bool(unequal.isEmpty)), JSONValue.Member("tensors", .array(tensors)),
    ])
  }
}

/// A step of a run.
private enum Step {
  case copy
  case change(any Pass, isLast: Bool, hasAdapter: Bool)
  case verify(VerifyOptions)

  var name: String {
    switch self {
    case .copy: "copy"
    case .change(let pass, _, _): pass.name
    case .verify: "verify"
    }
  }
}

/// Copies a checkpoint.
private struct CopyPass: Pass {
  var name: String { "copy" }

  func plan(_ input: Checkpoint) throws -> PassPlan {
    PassPlan(contents: input.contents, changes: [], memory: 0)
  }

  func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    try writeTensors(of: input.contents, from: input, into: writer) { _ in nil }
    return .object([])
  }
}
