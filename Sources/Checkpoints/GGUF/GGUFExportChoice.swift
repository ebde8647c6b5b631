/// The choice of a tensor's type, exact or with a measured loss.
struct GGUFExportChoice {
  let tensor: GGUFExportTensor
  let checkpoint: Checkpoint
  let options: GGUFExportOptions
  let path: String

  /// The types to try, first those that llama.cpp has known for longest, and smaller ones before those that
  /// hold more.
  static let packedTypes: [GGUFTensorType] = [.q4_0, .q4_1, .q8_0, .q5_0, .q5_1, .q2_0]

  /// The type nearest to codes of a width that no type holds.
  static func nearestType(bits: Int) -> GGUFTensorType { bits > 4 ? .q8_0 : .q4_1 }

  /// The encoding of the tensor, and its loss if it is not exact.
  ///
  /// - Throws: `FormatError.notExact` with the tensor, when the loss is not allowed or not finite.
  func encoding() throws -> (GGUFEncoding, GGUFEncodingLoss?) {
    switch tensor.storage {
    case .dense(let stored): try denseEncoding(stored)
    case .packed(let layout, let codes, let scales, let biases):
      try packedEncoding(
        layout, codes, scales: checkpoint.floats(of: scales.name), biases: checkpoint.floats(of: biases.name))
    }
  }

  private func denseEncoding(_ stored: TensorInfo) throws -> (GGUFEncoding, GGUFEncodingLoss?) {
    let own = GGUFTensorType(stored.dtype) ?? .f32
    let type = tensor.shape.count == 1 ? .f32 : asked ?? own
    let encoding = GGUFEncoding(type: type, keepsCodes: false)
    // F32 holds every F16 and BF16 value.
    guard type != own, type != .f32 else { return (encoding, nil) }
    return (encoding, try measured(encoding, because: "\(type.name) does not hold its values"))
  }

  /// The type that was asked for; embedding and output head follow it only if they are packed.
  private var asked: GGUFTensorType? {
    if case .dense = tensor.storage, !tensor.isLinear { return nil }
    return options.linearType.tensorType
  }

  private func packedEncoding(
    _ layout: QuantizedLayout, _ codes: TensorInfo, scales: [Float], biases: [Float]
  ) throws -> (GGUFEncoding, GGUFEncodingLoss?) {
    if let asked, asked.blockElementCount == 1 {
      let encoding = GGUFEncoding(type: asked, keepsCodes: false)
      return (encoding, try measured(encoding, because: "\(asked.name) does not hold its values"))
    }
    var reasons: [GGUFTensorType: String] = [:]
    for type in asked.map({ [$0] }) ?? Self.packedTypes {
      guard let reason = try obstacle(layout, codes, scales, biases, type) else {
        return (GGUFEncoding(type: type, keepsCodes: true), nil)
      }
      reasons[type] = reason
    }
    let type = asked ?? Self.nearestType(bits: layout.bits)
    // In Q4_1, codes with rounded tables are the nearest; the other types would lose the bias.
    let keepsCodes = type == .q4_1 && GGUFEncoding.obstacle(layout, in: type) == nil
    let encoding = GGUFEncoding(type: type, keepsCodes: keepsCodes)
    return (encoding, try measured(encoding, because: reasons[type] ?? ""))
  }

  /// Why codes and tables cannot be taken over exactly, or nil when they can.
  private func obstacle(
    _ layout: QuantizedLayout, _ codes: TensorInfo, _ scales: [Float], _ biases: [Float],
    _ type: GGUFTensorType
  ) throws -> String? {
    if let obstacle = GGUFEncoding.obstacle(layout, in: type) { return obstacle }
    if let (group, reason) = GGUFEncoding.levelsDiffer(bits: layout.bits, scales, biases, in: type) {
      let groupsPerRow = tensor.shape[1] / layout.groupSize
      return "row \(group / groupsPerRow), group \(group % groupsPerRow): \(reason)"
    }
    // If codes are wider than those of the type, all of them must be small.
    guard layout.bits == 8, let greatest = GGUFCodes(type)?.greatestCode, greatest < 255 else { return nil }
    let largest = try checkpoint.bytes(of: codes.name).withSpan { bytes in
      (0..<bytes.byteCount).reduce(UInt8(0)) { max($0, bytes.byte(at: $1)) }
    }
    return largest > greatest
      ? "\(type.name) holds codes up to \(greatest), but the largest code is \(largest)" : nil
  }

  /// The loss of an encoding, or nil when there is none.
  private func measured(_ encoding: GGUFEncoding, because reason: String) throws -> GGUFEncodingLoss? {
    let place = "tensor '\(tensor.sources[0].name)'"
    let columnCount = tensor.shape[tensor.shape.count - 1]
    guard columnCount % encoding.type.blockElementCount == 0 else {
      throw FormatError(
        path, at: place,
        .notExact(
          "\(columnCount) columns are not whole blocks of \(encoding.type.name), which have "
            + "\(encoding.type.blockElementCount)"))
    }
    // Codes that cannot be taken over are always a loss, without measuring it.
    if !options.isLossy, case .packed = tensor.storage, encoding.type.blockElementCount > 1 {
      throw FormatError(path, at: place, .notExact(reason + Self.remedy))
    }
    guard
      let loss = encoding.loss(of: tensor.rows(try tensor.sources.map { try checkpoint.bytes(of: $0.name) }))
    else {
      throw FormatError(
        path, at: place, .notExact("has values that are not finite, or not in \(encoding.type.name)"))
    }
    guard loss.maximum > 0 else { return nil }
    guard options.isLossy else { throw FormatError(path, at: place, .notExact(reason + Self.remedy)) }
    return loss
  }

  static let remedy = "; --lossy rounds it, --gguf-type f32 holds it at its full size"
}
