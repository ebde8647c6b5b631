public import Checkpoints

/// The report of a run.
public struct PipelineReport: Sendable {
  /// One pass of a run.
  public struct Pass: Sendable {
    /// The name of the pass in recipes.
    public let name: String
    /// The duration in seconds.
    public let seconds: Double
    /// The pass's report: a `QuantizationReport`, `AttachmentReport`, `CalibrationReport`, `MergeReport`,
    /// `RotationReport`, `Verification`, or that of another pass; only the recorded values if the step was
    /// resumed.
    public let report: any PassReport
    /// Whether the step was taken over from an earlier run.
    public let isResumed: Bool
    /// The maximum memory of the process up to the end of the pass, in bytes; nil when unknown.
    public let peakMemory: Int?
  }

  /// The path of the input.
  public let input: String
  /// The path of the output.
  public let output: String
  /// The passes in their order.
  public let passes: [Pass]
  /// The size of the output on disk.
  public let bytes: Int
  /// The bits per quantized weight, including tables and adapters; of all weights if none is quantized.
  public let bitsPerWeight: Double
  /// The report on an output that was converted from the finished checkpoint and read back; nil when the last
  /// pass wrote the output.
  public let outputReport: OutputReport?
  /// Remarks about the input and the output, one sentence each.
  public let notices: [String]
  /// What the output was made from, and the sizes of its parts.
  public let record: RunRecord

  /// The JSON document that other programs rely on, without the memory, which only the program knows.
  public var json: JSONValue {
    .object(
      [
        JSONValue.Member("input", .string(input)), JSONValue.Member("output", .string(output)),
        JSONValue.Member("passes", .array(passes.map(\.json))), JSONValue.Member("bytes", .integer(bytes)),
        JSONValue.Member("bits_per_weight", .double(bitsPerWeight)),
      ] + (outputReport?.members ?? [])
        + (notices.isEmpty ? [] : [JSONValue.Member("notices", .array(notices.map { .string($0) }))])
        + [JSONValue.Member("record", record.json)])
  }
}

extension PipelineReport.Pass {
  fileprivate var json: JSONValue {
    .object(
      [JSONValue.Member("name", .string(name)), JSONValue.Member("seconds", .double(seconds))]
        + (peakMemory.map { [JSONValue.Member("peak_memory_bytes", .integer($0))] } ?? [])
        + (isResumed ? [JSONValue.Member("resumed", .bool(true))] : []) + (report.json.object ?? []))
  }
}

/// The plan of a run.
public struct PipelinePlan: Sendable {
  /// The change of a tensor or module.
  public struct Change: Sendable {
    /// The tensor or module.
    public let name: String
    /// The change as a phrase: `2 bits, groups of 64`.
    public let action: String
    /// The bytes before; 0 when it is added.
    public let bytesBefore: Int
    /// The bytes after; 0 when it is dropped.
    public let bytesAfter: Int

    init(_ replacement: PassPlan.Replacement) {
      name = replacement.module
      action = replacement.action
      bytesBefore = replacement.bytesBefore
      bytesAfter = replacement.bytesAfter
    }
  }

  /// One pass of a plan.
  public struct Pass: Sendable {
    /// The name of the pass in recipes.
    public let name: String
    /// The changes, one per tensor or module.
    public let changes: [Change]
    /// The estimated memory in addition to mapped files, in bytes.
    public let memory: Int
    /// The matrix products, without those of the windows that the original model writes.
    public let work: WorkEstimate
    /// The windows that the pass reads; empty without windows.
    public let windows: [WindowOrigin]
  }

  /// The path of the input.
  public let inputPath: String
  /// The bytes of the input's tensors.
  public let inputBytes: Int
  /// The passes in their order.
  public let passes: [Pass]
  /// The matrix products of the windows that the original model writes for all passes.
  public let writingWork: WorkEstimate
  /// The bytes of the output's tensors, before compression.
  public let outputBytes: Int
  /// As in `PipelineReport.bitsPerWeight`.
  public let bitsPerWeight: Double

  init(_ plans: PassPlans, input: Checkpoint) throws {
    inputPath = input.path
    inputBytes = input.contents.byteCount
    passes = plans.steps.enumerated().map { index, step in
      Pass(
        name: step.name, changes: plans[index].replacements.map(Change.init), memory: plans[index].memory,
        work: plans[index].work,
        windows: (step.pass as? any WindowRequestingPass)?.windowSource?.origins ?? [])
    }
    let requests = plans.steps.compactMap { ($0.pass as? any WindowRequestingPass)?.requestedWindows }
    writingWork = try requests.writingWork(of: input)
    let result = plans.result.contents
    outputBytes = result.byteCount
    bitsPerWeight = result.bitsPerWeight
  }

  /// The matrix products of the whole run.
  public var work: WorkEstimate { passes.reduce(writingWork) { $0 + $1.work } }

  /// The plan as a document.
  ///
  /// - Parameter speed: The speed of products, which tells the time; nil if there are none.
  /// - Returns: Sizes, changes, memory and estimated times.
  public func json(at speed: ProductSpeed?) -> JSONValue {
    var members = [
      JSONValue.Member("input", .string(inputPath)), JSONValue.Member("input_bytes", .integer(inputBytes)),
      JSONValue.Member("passes", .array(passes.map { $0.json(at: speed) })),
      JSONValue.Member("output_bytes", .integer(outputBytes)),
      JSONValue.Member("bits_per_weight", .double(bitsPerWeight)),
    ]
    if let speed {
      members += [
        JSONValue.Member("writing_windows_estimated_seconds", .double(speed.seconds(writingWork))),
        JSONValue.Member("estimated_seconds", .double(speed.seconds(work))),
      ]
    }
    return .object(members)
  }
}

extension PipelinePlan.Pass {
  fileprivate func json(at speed: ProductSpeed?) -> JSONValue {
    let time = speed.map { [JSONValue.Member("estimated_seconds", .double($0.seconds(work)))] } ?? []
    let sizes = [JSONValue.Member("name", .string(name)), JSONValue.Member("memory_bytes", .integer(memory))]
    return .object(
      sizes + time + [
        JSONValue.Member("windows", .array(windows.map(\.json))),
        JSONValue.Member(
          "changes",
          .array(
            changes.map {
              .object([
                JSONValue.Member("name", .string($0.name)), JSONValue.Member("action", .string($0.action)),
                JSONValue.Member("bytes_before", .integer($0.bytesBefore)),
                JSONValue.Member("bytes_after", .integer($0.bytesAfter)),
              ])
            })),
      ])
  }
}

extension WindowOrigin {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("text", .optional(text, JSONValue.string)),
      JSONValue.Member("training", .integer(training)),
      JSONValue.Member("validation", .integer(validation)),
    ])
  }
}
