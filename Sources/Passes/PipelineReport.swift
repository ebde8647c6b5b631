public import Checkpoints

/// What a run did.
public struct PipelineReport: Sendable {
  /// One pass of a run.
  public struct Pass: Sendable {
    /// The recipe's name of the pass.
    public let name: String
    /// How long it took.
    public let seconds: Double
    /// What it reports: an object.
    public let report: JSONValue
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
  /// What there is to say about the output of this format.
  public let details: [JSONValue.Member]
  /// What a user should know about how the input was read, one line each.
  public let notices: [String]

  /// The keys that other programs rely on, but for the memory, which only the program knows.
  public var json: JSONValue {
    .object(
      [
        JSONValue.Member("input", .string(input)), JSONValue.Member("output", .string(output)),
        JSONValue.Member("passes", .array(passes.map(\.json))), JSONValue.Member("bytes", .integer(bytes)),
        JSONValue.Member("bits_per_weight", .double(bitsPerWeight)),
      ] + details
        + (notices.isEmpty ? [] : [JSONValue.Member("notices", .array(notices.map(JSONValue.string)))]))
  }
}

extension PipelineReport.Pass {
  fileprivate var json: JSONValue {
    .object(
      [JSONValue.Member("name", .string(name)), JSONValue.Member("seconds", .double(seconds))]
        + (isResumed ? [JSONValue.Member("resumed", .bool(true))] : []) + (report.object ?? []))
  }
}

/// What a run would do.
public struct PipelinePlan: Sendable {
  /// One pass of a plan.
  public struct Pass: Sendable {
    /// The recipe's name of the pass.
    public let name: String
    /// What happens to each tensor or module: name, action, bytes before and after.
    public let changes: [(name: String, action: String, bytesBefore: Int, bytesAfter: Int)]
    /// The memory that is needed beside mapped files, estimated.
    public let memory: Int
  }

  /// The input.
  public let inputPath: String
  /// The bytes of the input's tensors.
  public let inputBytes: Int
  /// The passes in their order.
  public private(set) var passes: [Pass] = []
  /// The bytes of the output's tensors, before compression.
  public private(set) var outputBytes = 0
  /// As in `PipelineReport`.
  public private(set) var bitsPerWeight = 0.0

  init(input: Checkpoint) {
    inputPath = input.path
    inputBytes = input.contents.byteCount
  }

  mutating func add(_ name: String, _ plan: PassPlan? = nil) {
    passes.append(
      Pass(
        name: name,
        changes: plan?.changes.map { ($0.name, $0.action, $0.bytesBefore, $0.bytesAfter) } ?? [],
        memory: plan?.memory ?? 0))
  }

  mutating func finish(with contents: CheckpointContents) {
    outputBytes = contents.byteCount
    bitsPerWeight = contents.bitsPerWeight
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
