import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// Runs a recipe for a command and prints its report.
struct RecipeRunner {
  let recipe: Recipe
  let global: GlobalOptions
  let output: OutputOptions
  var logPath: String?
  /// The files about the run; nil for none.
  var files: ConversionFiles?

  func run() throws {
    let progress = global.start()
    let pipeline = Pipeline(
      recipe,
      Pipeline.Options(
        force: output.force, version: Rilq.version, logPath: logPath, container: try output.container(),
        shardByteLimit: try output.shardByteLimit(for: recipe.outputFormat),
        ggufType: try output.ggufLinearType(), isLossy: output.lossy, access: global.access,
        resumes: output.resume, memoryLimit: try output.memoryLimit(), group: ProcessJob.group))
    if output.dryRun {
      let plan = try pipeline.plan()
      let speed = plan.work == WorkEstimate() ? nil : ProductSpeed.measured()
      global.show(plan.json(at: speed), text: plan.text(at: speed))
      return
    }
    try files?.requirePlaces()
    var document = JSONValue.null
    let report: PipelineReport
    var hasBegun = false
    do {
      report = try pipeline.run {
        progress.show($0)
      } didBegin: {
        hasBegun = true
      } willPublish: { report, path in
        document = report.json
        document.set("peak_memory_bytes", to: .integer(ProcessMemory.peakByteCount))
        try files?.writeInside(path, document)
      }
      guard ProcessJob.isFirst else { return }
      try files?.writeBeside(document) { progress.show($0) }
    } catch {
      Interruption.waitIfBegun()
      progress.finish()
      if hasBegun, ProcessJob.isFirst, pipeline.hasFinishedSteps {
        Terminal.writeError("finished steps are kept for --resume")
      }
      throw error
    }
    progress.finish()
    for notice in report.notices { Terminal.writeError("notice: \(notice.escapedForDisplay)") }
    global.show(document, text: report.text)
  }
}

extension PipelinePlan {
  fileprivate func text(at speed: ProductSpeed?) -> String {
    var lines = ["\(inputPath): \(inputBytes.formattedBytes)"]
    for pass in passes {
      let modules = pass.changes.isEmpty ? [] : ["\(pass.changes.count) modules"]
      let memory =
        pass.memory > 0 ? ["about \(pass.memory.formattedBytes) of memory beside mapped files"] : []
      let seconds = speed.map { $0.seconds(pass.work) } ?? 0
      let time = seconds > 0 ? ["about \(seconds.formattedDuration)"] : []
      let parts = modules + memory + time
      lines.append(parts.isEmpty ? pass.name : "\(pass.name): \(parts.joined(separator: ", "))")
      lines += pass.windows.map { "  \($0.phrase)" }
      for change in pass.changes {
        let sizes =
          change.bytesBefore + change.bytesAfter == 0
          ? "" : ", \(change.bytesBefore.formattedBytes) -> \(change.bytesAfter.formattedBytes)"
        lines.append("  \(change.name.escapedForDisplay): \(change.action)\(sizes)")
      }
    }
    lines.append(
      "output: \(outputBytes.formattedBytes) before compression, \(bitsPerWeight.formatted(decimals: 2)) bits per weight"
    )
    if let speed { lines.append(time(at: speed)) }
    return lines.joined(separator: "\n")
  }

  /// The line about the time of the whole run.
  private func time(at speed: ProductSpeed) -> String {
    let (all, writing) = (speed.seconds(work), speed.seconds(writingWork))
    let share = writing > 0 ? ", of them \(writing.formattedDuration) for windows that the model writes" : ""
    let threads = ThreadLimit.current == 1 ? "one thread" : "\(ThreadLimit.current) threads"
    let bf16 = speed.bf16 == speed.f32 ? "" : " and \(Int(speed.bf16 / 1e9)) in bf16"
    return "time: about \(all.formattedDuration) on \(threads)\(share); "
      + "by the speed of products measured now, \(Int(speed.f32 / 1e9)) GFLOP/s in f32\(bf16)"
  }
}

extension WindowOrigin {
  fileprivate var phrase: String {
    let held = validation > 0 ? " and \(validation) for validation" : ""
    let origin = text.map { "of \($0.escapedForDisplay)" } ?? "written by the original model"
    return "\(training) windows\(held) \(origin)"
  }
}

extension PipelineReport {
  fileprivate var text: String {
    var lines: [String] = []
    for pass in passes {
      let origin = pass.isResumed ? " of an earlier run" : ""
      lines.append("\(pass.name): \(pass.report.text) (\(pass.seconds.formatted(decimals: 1)) s\(origin))")
    }
    lines += outputReport?.lines ?? []
    lines.append(
      "\(output.escapedForDisplay): \(bytes.formattedBytes), \(bitsPerWeight.formatted(decimals: 2)) bits per weight"
    )
    return lines.joined(separator: "\n")
  }
}

extension OutputReport {
  /// The types of a GGUF file, the losses, and the result of reading the output back.
  fileprivate var lines: [String] {
    var lines: [String] = []
    if let types { lines.append("types: " + types.map { "\($0.count) \($0.type)" }.joined(separator: ", ")) }
    if let worst = losses.max(by: { ($0.maximum ?? 0) < ($1.maximum ?? 0) }) {
      let errors = [worst.maximum, worst.mean].map { $0?.formattedShort ?? "unknown" }
      lines.append(
        "lossy: \(losses.count) tensors rounded, the worst is '\(worst.tensor.escapedForDisplay)' as "
          + "\(worst.type): errors up to \(errors[0]), \(errors[1]) on average")
    }
    lines += representationLosses.map(\.escapedForDisplay)
    if !proof.isEmpty {
      lines.append(
        "proof: \(proof.count(where: \.isEqual)) of \(proof.count) tensors read back have the same values")
    }
    return lines
  }
}
