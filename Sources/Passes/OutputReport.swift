public import Checkpoints

/// The report on an output that was converted from the finished checkpoint and read back.
public struct OutputReport: Sendable {
  /// A tensor that was rounded.
  public struct Loss: Sendable {
    /// The tensor.
    public let tensor: String
    /// The tensor's type in the file.
    public let type: String
    /// The largest error of any value; nil when it is not a number.
    public let maximum: Double?
    /// The mean error of the values; nil when it is not a number.
    public let mean: Double?
  }

  /// The result of reading a tensor back.
  public struct Proof: Sendable {
    /// The tensor.
    public let tensor: String
    /// Whether every value is the same.
    public let isEqual: Bool
  }

  /// The number of tensors of each type in a GGUF file; nil for other formats.
  public var types: [(type: String, count: Int)]?
  /// The files that a GGUF file cannot hold.
  public var leftOut: [String] = []
  /// The tensors that were rounded because the run allows it.
  public var losses: [Loss] = []
  /// What another program does differently with the output, one sentence each.
  public var notices: [String] = []
  /// The bits per weight in the file, if different from the checkpoint's.
  public var bitsPerWeight: Double?
  /// How a format with integer zero points represents the tables.
  public var representation: JSONValue?
  /// The result of comparing every tensor that was read back.
  public var proof: [Proof] = []
  /// Whether no tensor is missing and all are equal.
  public var isProven = false

  init() {}

  /// The losses in a format with integer zero points, one phrase per kind of loss.
  public var representationLosses: [String] {
    let format = representation?["format"]?.string ?? "output"
    return (representation?["losses"]?.array ?? []).map { "\(format): \(RecordedReport($0).text)" }
  }

  /// The keys of the report in addition to those of every run.
  var members: [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    if let types {
      members = [
        JSONValue.Member("types", .object(types.map { JSONValue.Member($0.type, .integer($0.count)) })),
        JSONValue.Member("left_out", .array(leftOut.map { .string($0) })),
      ]
    }
    if !losses.isEmpty { members.append(JSONValue.Member("lossy", .array(losses.map(\.json)))) }
    if let representation { members.append(JSONValue.Member("representation", representation)) }
    members.append(
      JSONValue.Member(
        "proof",
        .object([
          JSONValue.Member("equal", .bool(isProven)),
          JSONValue.Member("tensors", .array(proof.map(\.json))),
        ])))
    return members
  }

  /// The document that a journal stores.
  var json: JSONValue {
    var json = JSONValue.object(members)
    if let bitsPerWeight { json.set("bits_per_weight", to: .double(bitsPerWeight)) }
    if !notices.isEmpty { json.set("notices", to: .array(notices.map { .string($0) })) }
    return json
  }

  /// Reads the document of a journal.
  init(_ json: JSONValue) {
    types = json["types"]?.object?.map { ($0.key, $0.value.integer ?? 0) }
    leftOut = (json["left_out"]?.array ?? []).compactMap(\.string)
    losses = (json["lossy"]?.array ?? []).map(Loss.init)
    bitsPerWeight = json["bits_per_weight"]?.double
    notices = (json["notices"]?.array ?? []).compactMap(\.string)
    representation = json["representation"]
    proof = (json["proof"]?["tensors"]?.array ?? []).map(Proof.init)
    isProven = json["proof"]?["equal"]?.bool ?? false
  }
}

extension OutputReport.Loss {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("name", .string(tensor)), JSONValue.Member("type", .string(type)),
      JSONValue.Member("max_error", .double(maximum ?? .nan)),
      JSONValue.Member("mean_error", .double(mean ?? .nan)),
    ])
  }

  fileprivate init(_ json: JSONValue) {
    self.init(
      tensor: json["name"]?.string ?? "", type: json["type"]?.string ?? "",
      maximum: json["max_error"]?.double, mean: json["mean_error"]?.double)
  }
}

extension OutputReport.Proof {
  fileprivate var json: JSONValue {
    .object([JSONValue.Member("name", .string(tensor)), JSONValue.Member("equal", .bool(isEqual))])
  }

  fileprivate init(_ json: JSONValue) {
    self.init(tensor: json["name"]?.string ?? "", isEqual: json["equal"]?.bool ?? false)
  }
}
