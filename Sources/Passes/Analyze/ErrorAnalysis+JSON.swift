package import Checkpoints

extension ErrorAnalysis {
  /// The JSON document for programs.
  package var json: JSONValue {
    var members = [
      JSONValue.Member("checkpoint", .string(checkpointPath)),
      JSONValue.Member("reference", .string(referencePath)),
      JSONValue.Member("energy_shares", .doubles(LinearErrors.energyShares)),
      JSONValue.Member("linears", .array(linears.map(\.json))),
    ]
    guard let input, let final else { return .object(members) }
    let (all, ranks) = (all, commonRanks)
    members += [
      JSONValue.Member("text", .string(input.path)),
      JSONValue.Member("samples", .integer(input.samples)),
      JSONValue.Member("length", .integer(input.length)),
      JSONValue.Member("ranks", .array(ranks.map(JSONValue.integer))),
      JSONValue.Member(
        "mean_output_error",
        .object([
          JSONValue.Member("svd", .doubles(all.means { $0.outputs?.svd ?? [] })),
          JSONValue.Member("qera", .doubles(all.means { $0.outputs?.qera ?? [] })),
        ])),
      JSONValue.Member(
        "layers",
        .array(
          layers.enumerated().map { index, error in
            .object([
              JSONValue.Member("layer", .integer(index)), JSONValue.Member("relative_error", .double(error)),
            ])
          })),
      JSONValue.Member("final_relative_error", .double(final)),
    ]
    return .object(members)
  }
}

extension LinearErrors {
  fileprivate var json: JSONValue {
    var members = [
      JSONValue.Member("name", .string(name)),
      JSONValue.Member("kind", .string(kind)),
      JSONValue.Member("shape", .array([.integer(rowCount), .integer(columnCount)])),
      JSONValue.Member("relative_error", .double(relativeError)),
      JSONValue.Member("ranks_for_energy", .array(ranksForEnergy.map(JSONValue.integer))),
      JSONValue.Member("singular_values", .doubles(singularValues)),
    ]
    if let outputs {
      members.append(
        JSONValue.Member(
          "output_error",
          .object([
            JSONValue.Member("ranks", .array(outputRanks.map(JSONValue.integer))),
            JSONValue.Member("svd", .doubles(outputs.svd)), JSONValue.Member("qera", .doubles(outputs.qera)),
          ])))
    }
    if let adapter { members.append(JSONValue.Member("adapter", adapter.json)) }
    return .object(members)
  }
}

extension LinearErrors.AdapterError {
  fileprivate var json: JSONValue {
    var members = [
      JSONValue.Member("rank", .integer(rank)), JSONValue.Member("relative_error", .double(relativeError)),
    ]
    if let relativeOutputError {
      members.append(JSONValue.Member("relative_output_error", .double(relativeOutputError)))
    }
    return .object(members)
  }
}

extension JSONValue {
  fileprivate static func doubles(_ values: [Double]) -> JSONValue { .array(values.map(JSONValue.double)) }
}
