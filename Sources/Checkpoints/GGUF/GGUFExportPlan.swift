/// The plan of a checkpoint's GGUF file, made from headers, configuration and tokenizer alone.
package struct GGUFExportPlan: Sendable {
  let contents: CheckpointContents
  let model: GGUFExportModel
  let tensors: [GGUFExportTensor]
  /// The metadata of hyperparameters and tokenizer.
  let members: [GGUFExportMember]
  /// The value of `general.name`.
  private let modelName: String
  /// The texts that llama.cpp tokenizes differently.
  private let tokenizerNotices: [String]
  /// The path for errors.
  let path: String
  /// The tensors of other parts of a larger model, in their order.
  package let foreignTensors: [String]
  /// The tensors of the checkpoint that the file does not need, in their order.
  package var redundantTensors: [String] {
    contents.tensors.map(\.name).filter(model.redundantTensors.contains)
  }
  /// What the file does not hold, and what llama.cpp computes differently; one sentence each.
  package var notices: [String] {
    let notices = model.notices + tokenizerNotices
    guard let first = foreignTensors.first else { return notices }
    let notice =
      "the text model is written; the tensors of other parts of the model are not: "
      + "\(foreignTensors.count) from '\(first)' on"
    return notices + [notice]
  }

  /// Finds a place for every tensor.
  ///
  /// - Parameters:
  ///   - contents: The checkpoint; its metadata are recorded, its assets are not.
  ///   - model: Its hyperparameters.
  ///   - tokenizer: Its tokenizer; made after the embedding was found to have as many rows as the model says.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` for a tensor that is missing, has another shape, or has no place in the file.
  package init(
    _ contents: CheckpointContents, _ model: GGUFExportModel,
    _ tokenizer: @autoclosure () throws -> GGUFExportTokenizer, path: String
  ) throws {
    try contents.validateQuantization(path: path)
    self.contents = contents
    self.model = model
    self.path = path
    (tensors, foreignTensors) = try model.tensors(of: contents, path: path)
    for (module, parameters) in contents.quantization where parameters.groupSize % 8 != 0 {
      throw FormatError(
        path, at: "module '\(module)'",
        .notExact("no type of GGUF holds groups of \(parameters.groupSize) columns"))
    }
    let tokenizer = try tokenizer()
    members = model.members + tokenizer.members
    modelName = tokenizer.modelName ?? model.name
    tokenizerNotices = tokenizer.notices
  }

  /// Refuses tensors that no type can hold, whatever their values are.
  ///
  /// Tables of groups that are not computed yet may have any values of their dtype. A type has F16 tables, or
  /// biases that follow from its scales, and computed tables are not expected to fit by chance.
  ///
  /// - Parameters:
  ///   - options: The types that are asked for.
  ///   - modules: The modules whose tables are not computed yet.
  /// - Throws: `FormatError.notExact` with the tensor.
  package func requireRepresentable(
    _ options: GGUFExportOptions, packing modules: Set<String>
  ) throws(FormatError) {
    let asked = options.linearType.tensorType
    if let asked, asked.blockElementCount == 1 { return }
    // Nothing is rounded to super-blocks.
    guard !options.isLossy || asked?.superBlock != nil else { return }
    for tensor in tensors {
      for part in tensor.parts { try requireRepresentable(part, of: tensor, asked, packing: modules) }
    }
  }

  private func requireRepresentable(
    _ part: GGUFExportTensor.Part, of tensor: GGUFExportTensor, _ asked: GGUFTensorType?,
    packing modules: Set<String>
  ) throws(FormatError) {
    guard case .packed(let layout, let tensors) = part.storage else {
      guard let asked, asked.superBlock != nil, tensor.isLinear else { return }
      throw refusal(part, tensor.columnObstacle(in: asked) ?? GGUFExportChoice.denseObstacle(asked))
    }
    let isPending = layout.superBlock == nil && modules.contains(part.module)
    func obstacle(_ type: GGUFTensorType) -> String? {
      let obstacle = tensor.obstacle(layout, in: type)
      return !isPending || obstacle != nil
        ? obstacle : Self.obstacle(layout, tensors.dropFirst().map(\.dtype), in: type)
    }
    let nearest = asked ?? GGUFExportChoice.nearestType(layout)
    let types = asked.map { [$0] } ?? GGUFExportChoice.packedTypes(for: [layout])
    guard types.allSatisfy({ obstacle($0) != nil }),
      let reason = obstacle(nearest)
    else { return }
    throw refusal(part, reason + GGUFExportChoice.remedy(asked, layout))
  }

  private func refusal(_ part: GGUFExportTensor.Part, _ reason: String) -> FormatError {
    FormatError(path, at: "tensor '\(part.name)'", .notExact(reason))
  }

  /// Why a type cannot hold tables of some dtypes that are not computed yet, or nil when it can.
  private static func obstacle(
    _ layout: QuantizedLayout, _ tables: [DType], in type: GGUFTensorType
  ) -> String? {
    if let zero = GGUFCodes(type)?.biasPhrase, !holdsZeroPoints(of: layout, type) {
      return "\(type.name) has no biases but \(zero); those to be computed may differ"
    }
    if layout.zeroPointGrid == .zeroPoint {
      return "\(type.name) has F16 biases, which hold some multiples of a scale; those to be computed may "
        + "differ"
    }
    if type == .q5_1, layout.bits > 5 {
      return "Q5_1 holds codes up to 31, but those to be computed may differ"
    }
    guard tables.contains(.f32) else { return nil }
    return "\(type.name) has F16 tables, but those to be computed are F32; --tables f16 makes them F16"
  }

  /// Whether every zero point of a layout is that of a type, or its mirrored one.
  private static func holdsZeroPoints(of layout: QuantizedLayout, _ type: GGUFTensorType) -> Bool {
    guard let codes = GGUFCodes(type), let grid = layout.zeroPointGrid else { return false }
    return grid.range(bits: layout.bits).allSatisfy {
      Float($0) == codes.zeroPoint || Float($0) == codes.mirroredZeroPoint
    }
  }

  /// The metadata `general.*`.
  func generalMembers(_ encodings: [GGUFEncoding]) -> [GGUFExportMember] {
    var members = [
      GGUFExportMember("general.architecture", .string(model.architecture)),
      GGUFExportMember("general.name", .string(modelName)),
      GGUFExportMember("general.file_type", .uint32(fileType(encodings))),
    ]
    if encodings.contains(where: { $0.type.blockElementCount > 1 }) {
      members.append(GGUFExportMember("general.quantization_version", .uint32(2)))
    }
    return members
  }

  /// llama.cpp's number for the type of most weights of the linears.
  ///
  /// Linears of one K type have the number of its small mixture, linears of several that of a larger one.
  private func fileType(_ encodings: [GGUFEncoding]) -> UInt32 {
    var counts: [GGUFTensorType: Int] = [:]
    for (tensor, encoding) in zip(tensors, encodings) where tensor.isLinear {
      counts[encoding.type, default: 0] += tensor.elementCount
    }
    let most = counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }
    return switch most?.key {
    case .f16: 1
    case .q4_0: 2
    case .q4_1: 3
    case .q8_0: 7
    case .q5_0: 8
    case .q5_1: 9
    case .q2K: counts.count == 1 ? 21 : 10
    case .q3K: counts.count == 1 ? 11 : 12
    case .q4K: counts.count == 1 ? 14 : 15
    case .q5K: counts.count == 1 ? 16 : 17
    case .q6K: 18
    case .iq2XS: 20
    case .iq2S: 28
    case .bf16: 32
    case .q2_0: 41
    default: 0
    }
  }
}
