public import Checkpoints

/// What an output was made from, and the sizes of its parts, for reports of a run.
public struct RunRecord: Sendable {
  /// The tensors of the same place in every layer: `model.layers.*.mlp.up_proj`.
  public struct Part: Sendable, Equatable {
    /// The module with `*` for every number.
    public let name: String
    /// Its sizes in the input; zero if it is new.
    public internal(set) var before = Size()
    /// Its sizes in the output; zero if it is gone.
    public internal(set) var after = Size()
  }

  /// The sizes of tensors.
  public struct Size: Sendable, Equatable {
    /// The number of parameters of the model.
    public internal(set) var parameters = 0
    /// The bytes of weights, tables and adapters as the file stores them, before compression.
    public internal(set) var bytes = 0
  }

  /// The version, the recipe, and the digests of the inputs, as `history` in an output's metadata.
  public let origin: JSONValue
  /// The architecture and the number of parameters.
  public let model: JSONValue
  /// The format of the output.
  public let format: OutputFormat
  /// The bytes of the input's files.
  public let inputBytes: Int
  /// The parts in the order of the input.
  public let parts: [Part]

  /// Describes a finished run.
  ///
  /// - Parameters:
  ///   - input: The input of the recipe.
  ///   - output: The output.
  ///   - format: The format of the output.
  ///   - origin: The origin of the output.
  /// - Throws: `FormatError` when an input could not be read.
  init(of input: Checkpoint, output: Checkpoint, format: OutputFormat, origin: Origin) throws {
    self.origin = try origin.entry()
    self.format = format
    let architecture = try ArchitectureSummary(of: input)?.members ?? []
    model = .object(
      architecture + [JSONValue.Member("parameters", .integer(input.storedSizes.parameterCount))])
    inputBytes = try input.files.reduce(0) { $0 + (try FileSystem.requireRegularFile($1.path)) }
    var parts = PartSizes()
    try parts.add(input, to: \.before)
    try parts.add(output, to: \.after)
    self.parts = parts.all
  }

  /// The document of the key `record`.
  var json: JSONValue {
    .object([
      JSONValue.Member("format", .string(format.rawValue)), JSONValue.Member("origin", origin),
      JSONValue.Member("model", model), JSONValue.Member("input_bytes", .integer(inputBytes)),
      JSONValue.Member("parts", .array(parts.map(\.json))),
    ])
  }
}

extension RunRecord.Part {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("name", .string(name)),
      JSONValue.Member("parameters_before", .integer(before.parameters)),
      JSONValue.Member("bytes_before", .integer(before.bytes)),
      JSONValue.Member("parameters_after", .integer(after.parameters)),
      JSONValue.Member("bytes_after", .integer(after.bytes)),
    ])
  }
}

/// Adds up the tensors of checkpoints by their place in a layer.
private struct PartSizes {
  private(set) var all: [RunRecord.Part] = []
  private var indices: [String: Int] = [:]

  mutating func add(
    _ checkpoint: Checkpoint, to side: WritableKeyPath<RunRecord.Part, RunRecord.Size>
  ) throws {
    for tensor in try checkpoint.logicalTensors() {
      let split = ModuleTensor.split(tensor.name)
      let index = index(of: (split?.module ?? tensor.name).replacingNumbers)
      all[index][keyPath: side].bytes += tensor.byteCount
      guard split?.part.isBesideWeight != true else { continue }
      all[index][keyPath: side].parameters += tensor.shape.reduce(1, *)
    }
  }

  private mutating func index(of name: String) -> Int {
    if let index = indices[name] { return index }
    indices[name] = all.count
    all.append(RunRecord.Part(name: name))
    return all.count - 1
  }
}

extension String {
  /// The name with `*` for each component that is a number.
  fileprivate var replacingNumbers: String {
    split(separator: ".", omittingEmptySubsequences: false)
      .map { !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } ? "*" : $0 }
      .joined(separator: ".")
  }
}
