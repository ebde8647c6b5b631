import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// Runs a recipe for a command and shows what came of it.
struct RecipeRunner {
  let recipe: Recipe
  let global: GlobalOptions
  let output: OutputOptions
  var logPath: String?

  func run() throws {
    let progress = global.start()
    let pipeline = Pipeline(
      recipe,
      Pipeline.Options(
        force: output.force, version: Rilq.version, logPath: logPath, container: try output.container(),
        shardByteLimit: try output.shardByteLimit(for: recipe.outputFormat),
        ggufType: try output.ggufLinearType(), isLossy: output.lossy, access: global.access,
        resumes: output.resume, memoryLimit: try output.memoryLimit()))
    if output.dryRun {
      let plan = try pipeline.plan()
      global.show(plan.json, text: plan.text)
      return
    }
    let report: PipelineReport
    do {
      report = try pipeline.run { progress.show($0) }
    } catch let error as PassError where error.exitCode == 64 {
      // Nothing was begun.
      throw error
    } catch {
      Interruption.waitIfBegun()
      progress.finish()
      if pipeline.hasFinishedSteps { Terminal.writeError("finished steps are kept for --resume") }
      throw error
    }
    progress.finish()
    for notice in report.notices { Terminal.writeError("notice: \(notice.escapedForDisplay)") }
    var document = report.json
    document.set("peak_memory_bytes", to: .integer(ProcessMemory.peakByteCount))
    global.show(document, text: report.text)
  }
}

extension PipelinePlan {
  fileprivate var text: String {
    var lines = ["\(inputPath): \(inputBytes.formattedBytes)"]
    for pass in passes {
      let memory =
        pass.memory > 0 ? ", about \(pass.memory.formattedBytes) of memory beside mapped files" : ""
      lines.append("\(pass.name): \(pass.changes.count) modules\(memory)")
      for change in pass.changes {
        let sizes =
          change.bytesBefore + change.bytesAfter == 0
          ? "" : ", \(change.bytesBefore.formattedBytes) -> \(change.bytesAfter.formattedBytes)"
        lines.append("  \(change.name.escapedForDisplay): \(change.action)\(sizes)")
      }
    }
    lines.append(
      "output: \(outputBytes.formattedBytes) before compression, \(bitsPerWeight.formatted(decimals: 2)) bits a weight"
    )
    return lines.joined(separator: "\n")
  }
}

extension PipelineReport {
  fileprivate var text: String {
    var lines: [String] = []
    for pass in passes {
      let details = (pass.report.object ?? []).compactMap(\.detail).joined(separator: ", ")
      let origin = pass.isResumed ? " of an earlier run" : ""
      lines.append("\(pass.name): \(details) (\(pass.seconds.formatted(decimals: 1)) s\(origin))")
    }
    lines += detailLines
    lines.append(
      "\(output.escapedForDisplay): \(bytes.formattedBytes), \(bitsPerWeight.formatted(decimals: 2)) bits a weight"
    )
    return lines.joined(separator: "\n")
  }
}

extension PipelineReport {
  /// The types of a GGUF file, the losses, and what reading the output back showed.
  fileprivate var detailLines: [String] {
    let document = JSONValue.object(details)
    var lines: [String] = []
    if let types = document["types"]?.object {
      lines.append("types: " + types.map { "\($0.value.shortNumber) \($0.key)" }.joined(separator: ", "))
    }
    let losses = document["lossy"]?.array ?? []
    if let worst = losses.max(by: { ($0["max_error"]?.double ?? 0) < ($1["max_error"]?.double ?? 0) }) {
      let errors = ["max_error", "mean_error"].map { worst[$0]?.shortNumber ?? "unknown" }
      lines.append(
        "lossy: \(losses.count) tensors rounded, the worst is '\((worst["name"]?.string ?? "").escapedForDisplay)' as "
          + "\(worst["type"]?.string ?? ""): errors up to \(errors[0]), \(errors[1]) on average")
    }
    for loss in document["representation"]?["losses"]?.array ?? [] {
      let errors = (loss.object ?? []).compactMap(\.detail).joined(separator: ", ")
      let format = document["representation"]?["format"]?.string ?? "output"
      lines.append("\(format): \(errors.escapedForDisplay)")
    }
    if let proof = document["proof"], let tensors = proof["tensors"]?.array {
      let equalCount = tensors.count { $0["equal"] == .bool(true) }
      lines.append("proof: \(equalCount) of \(tensors.count) tensors read back have the same values")
    }
    return lines
  }
}

extension JSONValue.Member {
  /// A number, text or truth value as a phrase; nil for anything larger but losses.
  fileprivate var detail: String? {
    let name = key.replacing("_", with: " ")
    switch value {
    case .number: return "\(name) \(value.shortNumber)"
    case .string(let text): return "\(name) \(text)"
    case .bool(let value): return value ? name : "not \(name)"
    case .object: return value["loss"].map { "\(name) \($0.shortNumber)" }
    case .array, .null: return nil
    }
  }
}

extension JSONValue {
  fileprivate var shortNumber: String {
    guard integer == nil, let double else { return compactText }
    return String(format: "%.4g", double)
  }
}
