import Kernels

/// The choice of a tensor's type, exact or with a measured loss.
///
/// All parts of a stack get the same type.
struct GGUFExportChoice {
  let tensor: GGUFExportTensor
  let checkpoint: Checkpoint
  let options: GGUFExportOptions
  let path: String

  /// The types to try, first those that llama.cpp has known for longest, and smaller ones before those that
  /// hold more.
  static let packedTypes: [GGUFTensorType] =
    [.q4_0, .q4_1, .q8_0, .q5_0, .q5_1, .q2_0] + SuperBlock.allCases.map(\.ggufType)

  /// The types to try for the parts of a tensor: Q2_0 first for zero points of 2 bits, which are made for it.
  static func packedTypes(for layouts: [QuantizedLayout]) -> [GGUFTensorType] {
    layouts.allSatisfy(isMadeForQ2_0) ? [.q2_0] + packedTypes : packedTypes
  }

  private static func isMadeForQ2_0(_ layout: QuantizedLayout) -> Bool {
    layout.zeroPointGrid != nil && GGUFEncoding.obstacle(layout, in: .q2_0) == nil
  }

  /// The type whose obstacle is told for codes that no type holds.
  static func nearestType(_ layout: QuantizedLayout) -> GGUFTensorType {
    isMadeForQ2_0(layout) ? .q2_0 : layout.superBlock?.ggufType ?? roundedType(bits: layout.bits)
  }

  /// The type that codes are rounded to if no type holds them.
  private static func roundedType(bits: Int) -> GGUFTensorType { bits > 4 ? .q8_0 : .q4_1 }

  /// Why a type of super-blocks does not hold dense values, with what makes codes that it holds.
  static func denseObstacle(_ type: GGUFTensorType) -> String {
    "values are not rounded to \(type.name)" + remedy(type)
  }

  /// The encoding of the tensor, and the loss of each part that is not exact.
  ///
  /// - Throws: `FormatError.notExact` with the tensor, when the loss is not allowed or not finite.
  func encoding() throws -> (GGUFEncoding, [GGUFEncodingLoss?]) {
    let parts = tensor.parts
    if parts.allSatisfy({ !$0.storage.isPacked }) { return try denseEncoding() }
    if let asked, asked.blockElementCount == 1 {
      return try measured(
        GGUFEncoding(type: asked, keepsCodes: false), because: "\(asked.name) does not hold its values")
    }
    guard let dense = parts.firstIndex(where: { !$0.storage.isPacked }) else { return try packedEncoding() }
    throw refusal(parts[dense], "has no codes, but other experts of its layer have some" + Self.remedy(asked))
  }

  private func denseEncoding() throws -> (GGUFEncoding, [GGUFEncodingLoss?]) {
    let own = tensor.parts.map { part in part.sources[0].dtype }
    // F32 holds every F16 and BF16 value.
    let common = own.allSatisfy { $0 == own[0] } ? GGUFTensorType(own[0]) ?? .f32 : .f32
    let type = tensor.needsF32 ? .f32 : asked ?? common
    let encoding = GGUFEncoding(type: type, keepsCodes: false)
    let losses = try tensor.parts.indices.map { part in
      GGUFTensorType(own[part]) == type || type == .f32
        ? nil : try measured(part, encoding, because: "\(type.name) does not hold its values")
    }
    return (encoding, losses)
  }

  /// The type that was asked for; embedding and output head follow it only if they are packed.
  private var asked: GGUFTensorType? {
    let isPacked = tensor.parts.contains { $0.storage.isPacked }
    return isPacked || tensor.isLinear ? options.linearType.tensorType : nil
  }

  private func packedEncoding() throws -> (GGUFEncoding, [GGUFEncodingLoss?]) {
    var candidates = asked.map { [$0] } ?? Self.packedTypes(for: tensor.parts.compactMap(\.storage.layout))
    var obstacles: [GGUFTensorType: (part: Int, reason: String)] = [:]
    var widest: QuantizedLayout?
    for part in tensor.parts.indices {
      guard case .packed(let layout, let tensors) = tensor.parts[part].storage else { continue }
      widest = widest.map { $0.bits < layout.bits ? layout : $0 } ?? layout
      let tables: Tables? = try layout.superBlock == nil ? self.tables(layout, tensors.dropFirst()) : nil
      var left: [GGUFTensorType] = []
      for type in candidates {
        // The last part decides: the first type that holds it is taken.
        guard part < tensor.parts.count - 1 || left.isEmpty else { break }
        if let reason = try obstacle(layout, tensors[0], tables, type) {
          obstacles[type] = (part, reason)
        } else {
          left.append(type)
        }
      }
      candidates = left
    }
    if let type = candidates.first {
      return (GGUFEncoding(type: type, keepsCodes: true), tensor.parts.map { _ in nil })
    }
    guard let widest else { preconditionFailure("'\(tensor.name)' has no codes") }
    let nearest = asked ?? Self.nearestType(widest)
    if !options.isLossy || asked?.superBlock != nil, let obstacle = obstacles[nearest] {
      // Throws with the part that the type does not hold.
      _ = try measured(
        obstacle.part, GGUFEncoding(type: nearest, keepsCodes: false), because: obstacle.reason)
    }
    let type = asked ?? Self.roundedType(bits: widest.bits)
    // In Q4_1, codes with rounded tables are the nearest; the other types would lose the bias.
    let keepsCodes =
      type == .q4_1
      && tensor.parts.allSatisfy { part in
        guard case .packed(let layout, _) = part.storage else { return false }
        return tensor.obstacle(layout, in: type) == nil
      }
    return try measured(
      GGUFEncoding(type: type, keepsCodes: keepsCodes), because: obstacles[type]?.reason ?? "")
  }

  /// The scales and the biases of all groups.
  private typealias Tables = (scales: [Float], biases: [Float])

  private func tables(_ layout: QuantizedLayout, _ tensors: ArraySlice<TensorInfo>) throws -> Tables {
    GGUFExportTensor.tables(layout, tensors, try tensors.map { try checkpoint.bytes(of: $0.name) }[...])
  }

  /// Why codes and tables cannot be taken over exactly, or nil when they can.
  ///
  /// `tables` are nil for super-blocks, whose bytes are copied.
  private func obstacle(
    _ layout: QuantizedLayout, _ codes: TensorInfo, _ tables: Tables?, _ type: GGUFTensorType
  ) throws -> String? {
    if let obstacle = tensor.obstacle(layout, in: type) { return obstacle }
    guard let tables else { return nil }
    if let (group, reason) = GGUFEncoding.levelsDiffer(
      bits: layout.bits, tables.scales, tables.biases, in: type)
    {
      let groupsPerRow = tensor.columnCount / layout.groupSize
      return "row \(group / groupsPerRow), group \(group % groupsPerRow): \(reason)"
    }
    // If codes are wider than those of the type, all of them must be small.
    guard let greatest = GGUFCodes(type)?.greatestCode, greatest < 1 << layout.bits - 1 else { return nil }
    let largest = try checkpoint.bytes(of: codes.name).withSpan { bytes in
      var unpacked = [UInt8](repeating: 0, count: bytes.byteCount * 8 / layout.bits)
      var span = unpacked.mutableSpan
      unpackCodes(bytes, bits: layout.bits, into: &span)
      return unpacked.max() ?? 0
    }
    return largest > greatest
      ? "\(type.name) holds codes up to \(greatest), but the largest code is \(largest)" : nil
  }

  /// The loss of an encoding in each part.
  private func measured(
    _ encoding: GGUFEncoding, because reason: String
  ) throws -> (GGUFEncoding, [GGUFEncodingLoss?]) {
    (encoding, try tensor.parts.indices.map { try measured($0, encoding, because: reason) })
  }

  /// The loss of an encoding in a part, or nil when there is none.
  private func measured(
    _ index: Int, _ encoding: GGUFEncoding, because reason: String
  ) throws -> GGUFEncodingLoss? {
    let part = tensor.parts[index]
    if let obstacle = tensor.columnObstacle(in: encoding.type) { throw refusal(part, obstacle) }
    if encoding.type.superBlock != nil, !part.storage.isPacked {
      throw refusal(part, Self.denseObstacle(encoding.type))
    }
    // Codes that cannot be taken over are always a loss, without measuring it; none are rounded to
    // super-blocks.
    if encoding.type.superBlock != nil
      || !options.isLossy && part.storage.isPacked && encoding.type.blockElementCount > 1
    {
      throw refusal(part, reason + Self.remedy(asked, part.storage.layout))
    }
    let bytes = try part.sources.map { try checkpoint.bytes(of: $0.name) }
    guard let loss = encoding.loss(of: tensor.rows(ofPart: index, bytes)) else {
      throw refusal(part, "has values that are not finite, or not in \(encoding.type.name)")
    }
    guard loss.maximum > 0 else { return nil }
    guard options.isLossy else { throw refusal(part, reason + Self.remedy(asked)) }
    return loss
  }

  private func refusal(_ part: GGUFExportTensor.Part, _ reason: String) -> FormatError {
    FormatError(path, at: "tensor '\(part.name)'", .notExact(reason))
  }

  /// What to do about a tensor, of a layout if it is packed, that the type does not hold.
  static func remedy(_ asked: GGUFTensorType?, _ layout: QuantizedLayout? = nil) -> String {
    guard let kind = asked?.superBlock else {
      if layout.map(isMadeForQ2_0) == true {
        return "; 'rilq quantize --grid portable' makes zero points that Q2_0 holds, --lossy rounds to Q4_1"
      }
      return "; --lossy rounds it, --gguf-type f32 holds it at its full size"
    }
    return "; 'rilq quantize --grid \(kind.rawValue)' makes codes that it holds"
  }
}
