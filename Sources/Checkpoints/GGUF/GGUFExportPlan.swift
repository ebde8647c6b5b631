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

  /// Refuses packed tensors that no type holds, whatever their values are.
  ///
  /// Tables that are yet to be computed in F32 count as such: a type has F16 tables, and a scale that happens to be
  /// one of F16 in every group is nothing to rely on.
  ///
  /// - Parameters:
  ///   - options: The types that are asked for.
  ///   - modules: The modules whose tables are yet to be computed.
  /// - Throws: `FormatError.notExact` with the tensor.
  package func requireRepresentable(
    _ options: GGUFExportOptions, packing modules: Set<String>
  ) throws(FormatError) {
    guard !options.isLossy else { return }
    let asked = options.linearType.tensorType
    if let asked, asked.blockElementCount == 1 { return }
    for tensor in tensors {
      guard case .packed(let parameters, _, let scales, let biases) = tensor.storage else { continue }
      let isWide = modules.contains(tensor.module) && (scales.dtype == .f32 || biases.dtype == .f32)
      let obstacles = (asked.map { [$0] } ?? GGUFExportChoice.packedTypes).map { type in
        GGUFEncoding.obstacle(parameters, in: type)
          ?? (isWide ? "\(type.name) has F16 tables, those to be computed are F32" : nil)
      }
      guard obstacles.allSatisfy({ $0 != nil }), let reason = obstacles.compactMap(\.self).first else {
        continue
      }
      let narrowing = isWide ? "; --tables f16 makes them so" : ""
      throw FormatError(
        path, at: "tensor '\(tensor.sources[0].name)'",
        .notExact(reason + narrowing + GGUFExportChoice.remedy))
    }
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
