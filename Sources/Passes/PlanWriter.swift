import Checkpoints

/// Writes the result of a plan: the tensors that the pass makes, and copies of all others.
struct PlanWriter {
  let plan: PassPlan
  /// The source of unchanged tensors and assets.
  let input: Checkpoint

  /// Writes every tensor and every asset in the planned order.
  ///
  /// - Parameters:
  ///   - writer: A writer for the planned contents.
  ///   - run: Makes the tensors that are not copied.
  /// - Returns: The pass's report.
  /// - Throws: `FormatError`, or the run's errors; the written file is then incomplete.
  func write(into writer: any CheckpointWriter, _ run: consuming any PassRun) throws -> any PassReport {
    var run = run
    let replacements = plan.replacements
    var makers: [String: Int] = [:]
    for (index, replacement) in replacements.enumerated() {
      for tensor in replacement.outputs { makers[tensor.name] = index }
    }
    var made: [String: TensorBytes] = [:]
    var queue = WriteQueue(writer)
    defer { queue.wait() }
    for tensor in plan.contents.tensors {
      if let index = makers[tensor.name], made[tensor.name] == nil {
        try queue.startWriting()
        for (output, bytes) in zip(replacements[index].outputs, try make(replacements[index], &run)) {
          made[output.name] = bytes
        }
      }
      let bytes = try made.removeValue(forKey: tensor.name) ?? input.bytes(of: tensor.name)
      try queue.add(tensor, bytes)
    }
    try queue.finish()
    try copyAssets(into: writer)
    return try run.finish()
  }

  /// Copies a checkpoint without changes.
  static func copy(
    _ contents: CheckpointContents, from input: Checkpoint, into writer: any CheckpointWriter
  ) throws {
    let plan = PassPlan(contents: contents, replacements: [], memory: 0) { _, _ in UnchangedRun() }
    _ = try PlanWriter(plan: plan, input: input).write(into: writer, UnchangedRun())
  }

  private func make(
    _ replacement: PassPlan.Replacement, _ run: inout any PassRun
  ) throws -> [TensorBytes] {
    let made = try run.make(replacement)
    let (expected, found) = (replacement.outputs.map(\.byteCount), made.map(\.count))
    guard found == expected else {
      throw PassError.usage(
        "module '\(replacement.module)': the pass made tensors of \(found) bytes, its plan says \(expected)")
    }
    return made
  }

  private func copyAssets(into writer: any CheckpointWriter) throws {
    for asset in plan.contents.assets {
      guard let bytes = try plan.assets[asset.name] ?? input.asset(named: asset.name) else {
        throw FormatError(input.path, .missing("file '\(asset.name)'"))
      }
      try bytes.withSpan { try writer.write(asset, $0) }
    }
  }
}

/// The run of a plan without replacements; its report is empty.
struct UnchangedRun: PassRun {
  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    preconditionFailure("module '\(replacement.module)': nothing was to be changed")
  }

  mutating func finish() throws -> any PassReport { RecordedReport(items: []) }
}
