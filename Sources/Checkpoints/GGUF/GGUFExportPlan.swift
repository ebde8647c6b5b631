/// What a GGUF file of a Llama checkpoint will hold, from headers, configuration and tokenizer alone.
package struct GGUFExportPlan: Sendable {
  let contents: CheckpointContents
  let model: GGUFExportModel
  let tensors: [GGUFExportTensor]
  /// Hyperparameters and tokenizer.
  let members: [GGUFExportMember]
  /// The path for errors.
  let path: String

  /// Finds a place for every tensor.
  ///
  /// - Parameters:
  ///   - contents: The checkpoint; its metadata are recorded, its assets are not.
  ///   - model: Its hyperparameters.
  ///   - tokenizer: Its tokenizer.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` for a tensor that is missing, of another shape or without a place.
  package init(
    _ contents: CheckpointContents, _ model: GGUFExportModel, _ tokenizer: GGUFExportTokenizer, path: String
  ) throws {
    try contents.validateQuantization(path: path)
    self.contents = contents
    self.model = model
    self.path = path
    tensors = try model.tensors(of: contents, path: path)
    for (module, parameters) in contents.quantization where parameters.groupSize % 8 != 0 {
      throw FormatError(
        path, at: "module '\(module)'",
        .notExact("no type of GGUF holds groups of \(parameters.groupSize) columns"))
    }
    members = model.members + tokenizer.members
  }

  /// The metadata `general.*`.
  func generalMembers(_ encodings: [GGUFEncoding]) -> [GGUFExportMember] {
    var members = [
      GGUFExportMember("general.architecture", .string("llama")),
      GGUFExportMember("general.name", .string(model.name)),
      GGUFExportMember("general.file_type", .uint32(fileType(encodings))),
    ]
    if encodings.contains(where: { $0.type.blockElementCount > 1 }) {
      members.append(GGUFExportMember("general.quantization_version", .uint32(2)))
    }
    return members
  }

  /// llama.cpp's number for the type of most weights of the linears.
  private func fileType(_ encodings: [GGUFEncoding]) -> UInt32 {
    var counts: [GGUFTensorType: Int] = [:]
    for (tensor, encoding) in zip(tensors, encodings) where tensor.isLinear {
      counts[encoding.type, default: 0] += tensor.elementCount
    }
    let most = counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }
    return switch most?.key {
    case .f16: 1
    case .q4_1: 3
    case .q8_0: 7
    case .bf16: 32
    case .q2_0: 41
    default: 0
    }
  }
}
