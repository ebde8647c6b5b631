package import Checkpoints

extension Inspection {
  /// The JSON document, including the keys that other programs rely on.
  package var json: JSONValue {
    .object(summaryMembers + [JSONValue.Member(Self.tensorsKey, .array(tensors.indices.map(tensorValue)))])
  }

  /// Writes the lines of `json`, a piece at a time.
  package func writeJSON(to output: (String) -> Void) {
    JSONValue.writePrettyText(
      of: summaryMembers, endingWith: Self.tensorsKey, count: tensors.count, tensorValue, to: output)
  }

  private static let tensorsKey = "tensors"

  /// The members before the tensors.
  private var summaryMembers: [JSONValue.Member] {
    let contents = summary.checkpoint.contents
    let sizes = summary.sizes
    var members = [
      JSONValue.Member("path", .string(summary.checkpoint.path)),
      JSONValue.Member("format", .string(summary.checkpoint.format.rawValue)),
      JSONValue.Member("parameters", .integer(sizes.parameterCount)),
      JSONValue.Member("bytes", .integer(sizes.byteCount)),
      JSONValue.Member("file_bytes", .integer(summary.fileByteCount)),
      JSONValue.Member("bits_per_weight", .double(sizes.bitsPerWeight)),
      JSONValue.Member("bits_per_parameter", .double(sizes.bitsPerParameter)),
    ]
    if let architecture = summary.architecture {
      members.append(JSONValue.Member("architecture", .object(architecture.members)))
    }
    if let tokenizer = summary.tokenizer { members.append(JSONValue.Member("tokenizer", tokenizer.json)) }
    members.append(JSONValue.Member("quantization", .array(summary.packings.map(\.json))))
    if let adapter = contents.adapter { members.append(JSONValue.Member("adapter", adapterValue(adapter))) }
    if !contents.notices.isEmpty {
      members.append(JSONValue.Member("notices", .array(contents.notices.map(JSONValue.string))))
    }
    return members + [
      JSONValue.Member("assets", .array(contents.assets.map(\.json))),
      JSONValue.Member("metadata", contents.metadata),
    ]
  }

  /// Returns a tensor in its stored form; statistics are of the dequantized weights.
  private func tensorValue(_ index: Int) -> JSONValue {
    let tensor = tensors[index]
    let stored = tensor.stored
    let form = summary.checkpoint.storedForm(of: stored)
    var members = [
      JSONValue.Member("name", .string(stored.name)),
      JSONValue.Member("dtype", .string(stored.dtype.rawValue)),
      JSONValue.Member("shape", .array(stored.shape.map(JSONValue.integer))),
      JSONValue.Member("bytes", .integer(form?.byteCount ?? stored.byteCount)),
    ]
    if let form { members.append(JSONValue.Member("stored_as", .string(form.type))) }
    members += tensor.packing?.layout.members ?? []
    guard !values.isEmpty else { return .object(members) }
    members.append(JSONValue.Member("statistics", values[index].statistics.json))
    if let codes = values[index].codes { members.append(JSONValue.Member("codes", codes.json)) }
    return .object(members)
  }

  private func adapterValue(_ adapter: AdapterParameters) -> JSONValue {
    .object([
      JSONValue.Member("kind", .string(adapter.kind.rawValue)),
      JSONValue.Member("rank", .integer(adapter.rank)),
      JSONValue.Member("alpha", .double(adapter.alpha)),
      JSONValue.Member("modules", .integer(summary.adaptedModuleCount)),
    ])
  }
}

extension CheckpointSummary.PackingCount {
  fileprivate var json: JSONValue {
    let type = storedType.map { [JSONValue.Member("stored_as", .string($0))] } ?? []
    return .object(
      layout.members + type + [
        JSONValue.Member("modules", .integer(moduleCount)),
        JSONValue.Member("weights", .integer(weightCount)),
        JSONValue.Member("bytes", .integer(byteCount)),
      ])
  }
}

extension Asset {
  fileprivate var json: JSONValue {
    .object([JSONValue.Member("name", .string(name)), JSONValue.Member("bytes", .integer(byteCount))])
  }
}

extension TensorStatistics {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("count", .integer(count)), JSONValue.Member("min", .double(minimum)),
      JSONValue.Member("max", .double(maximum)), JSONValue.Member("mean", .double(mean)),
      JSONValue.Member("deviation", .double(deviation)), JSONValue.Member("nan", .integer(nanCount)),
      JSONValue.Member("infinite", .integer(infiniteCount)), JSONValue.Member("zeros", .integer(zeroCount)),
    ])
  }
}

extension CodeStatistics {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("histogram", .array(histogram.map(JSONValue.integer))),
      JSONValue.Member("unused", .array(unusedCodes.map(JSONValue.integer))),
      JSONValue.Member("scales", Self.range(scales)), JSONValue.Member("biases", Self.range(biases)),
    ])
  }

  private static func range(_ range: (minimum: Float, maximum: Float)) -> JSONValue {
    .object([
      JSONValue.Member("min", .double(Double(range.minimum))),
      JSONValue.Member("max", .double(Double(range.maximum))),
    ])
  }
}
