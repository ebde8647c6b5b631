public import Checkpoints

/// What a run did.
public struct PipelineReport: Sendable {
  /// One pass of a run.
  public struct Pass: Sendable {
    /// The recipe's name of the pass.
    public let name: String
    /// How long it took.
    public let seconds: Double
    /// What it reports: a `QuantizationReport`, `AttachmentReport`, `CalibrationReport`, `MergeReport`, `RotationReport`,
    /// `Verification`, or that of another pass; of a resumed step only the recorded values.
    public let report: any PassReport
    /// Whether an earlier run did it, which this one went on with.
    public let isResumed: Bool
  }

  /// The path of the input.
  public let input: String
  /// The path of the output.
  public let output: String
  /// The passes in their order.
  public let passes: [Pass]
  /// The size of the output on disk.
  public let bytes: Int
  /// The bits of a quantized weight, tables and adapters included; of any weight where none is quantized.
  public let bitsPerWeight: Double
  /// What there is to say about an output that was written from the finished checkpoint and read back; nil when the last
  /// pass wrote it.
  public let outputReport: OutputReport?
  /// What there is to say about the input, a sentence each.
  public let notices: [String]

  /// The keys that other programs rely on, but for the memory, which only the program knows.
  public var json: JSONValue {
    .object(
      [
        JSONValue.Member("input", .string(input)), JSONValue.Member("output", .string(output)),
        JSONValue.Member("passes", .array(passes.map(\.json))), JSONValue.Member("bytes", .integer(bytes)),
        JSONValue.Member("bits_per_weight", .double(bitsPerWeight)),
      ] + (outputReport?.members ?? [])
        + (notices.isEmpty ? [] : [JSONValue.Member("notices", .array(notices.map { .string($0) }))]))
  }
}

extension PipelineReport.Pass {
  fileprivate var json: JSONValue {
    .object(
      [JSONValue.Member("name", .string(name)), JSONValue.Member("seconds", .double(seconds))]
        + (isResumed ? [JSONValue.Member("resumed", .bool(true))] : []) + (report.json.object ?? []))
  }
}

/// What a run would do.
public struct PipelinePlan: Sendable {
  /// What happens to a tensor or module.
  public struct Change: Sendable {
    /// The tensor or module.
    public let name: String
    /// What is done, as a phrase: `2 bits, groups of 64`.
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
    /// The recipe's name of the pass.
    public let name: String
    /// What happens to each tensor or module.
    public let changes: [Change]
    /// The memory that is needed beside mapped files, estimated.
    public let memory: Int
  }

  /// The input.
  public let inputPath: String
  /// The bytes of the input's tensors.
  public let inputBytes: Int
  /// The passes in their order.
  public let passes: [Pass]
  /// The bytes of the output's tensors, before compression.
  public let outputBytes: Int
  /// As in `PipelineReport`.
  public let bitsPerWeight: Double

  init(_ plans: PassPlans, input: Checkpoint) {
    inputPath = input.path
    inputBytes = input.contents.byteCount
    passes = plans.steps.enumerated().map { index, step in
      Pass(name: step.name, changes: plans[index].replacements.map(Change.init), memory: plans[index].memory)
    }
    let result = plans.result.contents
    outputBytes = result.byteCount
    bitsPerWeight = result.bitsPerWeight
  }

  /// The plan as a document.
  public var json: JSONValue {
    .object([
      JSONValue.Member("input", .string(inputPath)), JSONValue.Member("input_bytes", .integer(inputBytes)),
      JSONValue.Member("passes", .array(passes.map(\.json))),
      JSONValue.Member("output_bytes", .integer(outputBytes)),
      JSONValue.Member("bits_per_weight", .double(bitsPerWeight)),
    ])
  }
}

extension PipelinePlan.Pass {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("name", .string(name)), JSONValue.Member("memory_bytes", .integer(memory)),
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
