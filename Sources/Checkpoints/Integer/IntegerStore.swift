internal import Kernels

/// The bytes of a checkpoint with integer zero points, read as codes, scales and biases.
///
/// A weight is `scale * (code - zero point)`, which is `scale * code + bias` with the bias
/// `-zero point * scale`. With scales of 16 bits, every product and every sum is exact in f32, so nothing is
/// rounded. Scales in f32 are refused if a level is rounded.
struct IntegerStore: TensorStore {
  /// The tensors as they are in the files.
  let base: SafetensorsStore
  /// The modules by name.
  let modules: [String: IntegerModule]
  /// How zero points are stored.
  let zeroPoints: StoredZeroPoints
  /// The folder, for errors.
  let path: String

  var weightFileNames: [String] { base.weightFileNames }

  func bytes(of asset: Asset) throws -> TensorBytes { try base.bytes(of: asset) }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let (name, part) = ModuleTensor.split(tensor.name), let module = modules[name] else {
      return try base.bytes(of: tensor)
    }
    switch part {
    case .weight: return try codes(of: module)
    case .scales: return TensorBytes(narrowed(try scales(of: module), to: .f32))
    case .biases: return TensorBytes(narrowed(try biases(of: module), to: .f32))
    default: return try base.bytes(of: tensor)
    }
  }

  func storedForm(of tensor: TensorInfo) -> StoredForm? {
    guard let (name, part) = ModuleTensor.split(tensor.name), let module = modules[name] else { return nil }
    let type =
      switch module.layout {
      case .gptq: "GPTQ"
      case .awq: "AWQ"
      case .compressedTensors, .bytes: "compressed-tensors"
      }
    switch part {
    case .weight: return StoredForm(type: type, byteCount: module.codes.byteCount)
    case .scales: return StoredForm(type: type, byteCount: module.scales.byteCount)
    case .biases: return StoredForm(type: type, byteCount: module.zeroPoints?.byteCount ?? 0)
    default: return nil
    }
  }

  private func codes(of module: IntegerModule) throws -> TensorBytes {
    let bytes = try base.bytes(of: module.codes)
    switch module.layout {
    case .compressedTensors: return bytes
    case .bytes: return packed(try unsigned(bytes, of: module.codes, module), of: module)
    case .awq:
      return TensorBytes(
        bytes.withSpan {
          AWQOrder.rows($0, inputCount: module.inputCount, outputCount: module.outputCount)
        })
    case .gptq: break
    }
    // Codes of a column fill whole words down the rows, so words are moved unchanged.
    return TensorBytes(
      bytes.withSpan {
        transposedWords($0, rowCount: module.codes.shape[0], columnCount: module.codes.shape[1])
      })
  }

  /// Packs codes `[out, in]`.
  private func packed(_ codes: [UInt8], of module: IntegerModule) -> TensorBytes {
    var words = [UInt8](repeating: 0, count: codes.count * module.bits / 8)
    var span = words.mutableSpan
    packCodes(codes.span, bits: module.bits, into: &span)
    return TensorBytes(words)
  }

  /// Adds `2^(bits - 1)` to signed codes or zero points.
  private func unsigned(
    _ bytes: TensorBytes, of tensor: TensorInfo, _ module: IntegerModule
  ) throws -> [UInt8] {
    let codes = bytes.withSpan { bytes in
      (0..<bytes.byteCount).map { bytes.byte(at: $0) &+ module.middle }
    }
    if module.bits < 8, let index = codes.firstIndex(where: { $0 >> UInt8(module.bits) != 0 }) {
      let code = Int8(bitPattern: codes[index] &- module.middle)
      throw error(tensor, .malformed("value \(index) is \(code), which has more than \(module.bits) bits"))
    }
    return codes
  }

  /// One value for each group, where a file may have one for the whole matrix.
  private func repeated<T>(_ values: [T], for module: IntegerModule) -> [T] {
    let count = module.outputCount * module.groupCount
    return values.count == count ? values : [T](repeating: values[0], count: count)
  }

  /// `[out, groups]`, finite.
  private func scales(of module: IntegerModule) throws -> [Float] {
    guard let format = FloatFormat(module.scales.dtype) else {
      preconditionFailure("scales are \(module.scales.dtype.rawValue)")
    }
    let values = try base.bytes(of: module.scales).withSpan { widened($0, from: format) }
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      throw error(module.scales, .malformed("value \(index) is not finite"))
    }
    switch module.layout {
    case .compressedTensors, .bytes: return repeated(values, for: module)
    case .gptq, .awq: break
    }
    return transposed(values, rowCount: module.groupCount, columnCount: module.outputCount)
  }

  /// `[out, groups]`.
  private func biases(of module: IntegerModule) throws -> [Float] {
    let scales = try scales(of: module)
    let zeroPoints = try integerZeroPoints(of: module)
    let biases = zip(scales, zeroPoints).map { scale, zeroPoint in scale * Float(-zeroPoint) }
    for i in biases.indices {
      guard biases[i].isFinite else {
        throw error(module.scales, .unsupported("scale \(scales[i]) times \(zeroPoints[i]) overflows"))
      }
      if module.scales.dtype == .f32 { try checkLevels(of: module, scales[i], zeroPoints[i]) }
    }
    return biases
  }

  private func checkLevels(of module: IntegerModule, _ scale: Float, _ zeroPoint: Int) throws {
    let group = IntegerGroup(scale: scale, zeroPoint: zeroPoint)
    guard let code = group.firstCode(of: module.bits, missing: scale * Float(-zeroPoint)) else { return }
    throw error(
      module.scales,
      .unsupported(
        "scale \(scale) in F32 with zero point \(zeroPoint): \(code) times the scale rounds, so that scale and "
          + "bias are not exact"))
  }

  private func integerZeroPoints(of module: IntegerModule) throws -> [Int] {
    guard let tensor = module.zeroPoints else {
      return [Int](repeating: Int(module.middle), count: module.outputCount * module.groupCount)
    }
    let bytes = try base.bytes(of: tensor)
    let fields =
      switch module.layout {
      case .gptq:
        bytes.withSpan {
          PackedZeroPoints.fieldsOfRows($0, bits: module.bits, groupCount: module.groupCount)
        }
      case .awq:
        transposed(
          bytes.withSpan { AWQOrder.codes($0) }, rowCount: module.groupCount, columnCount: module.outputCount)
      case .compressedTensors:
        bytes.withSpan {
          PackedZeroPoints.fieldsOfColumns(
            $0, bits: module.bits, groupCount: module.groupCount, outputCount: module.outputCount)
        }
      case .bytes: repeated(try unsigned(bytes, of: tensor, module), for: module)
      }
    guard zeroPoints == .v1 else { return fields.map(Int.init) }
    if let index = fields.firstIndex(of: UInt8(1 << module.bits - 1)) {
      let (output, group) = (index / module.groupCount, index % module.groupCount)
      throw error(
        tensor,
        .unsupported(
          "zero point of output \(output), group \(group) is stored as \(fields[index]); v1 readers disagree "
            + "whether that is 0 or \(Int(fields[index]) + 1)"))
    }
    return fields.map { Int($0) + 1 }
  }

  private func error(_ tensor: TensorInfo, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "tensor '\(tensor.name)'", problem)
  }
}

/// The scale and the integer zero point of a group.
struct IntegerGroup: Equatable {
  var scale: Float
  var zeroPoint: Int

  /// The weight of a code, rounded once.
  func level(_ code: Int) -> Float { scale * Float(code - zeroPoint) }

  /// The first code whose weight differs from `scale * code + bias` with the same scale.
  ///
  /// Nil when all levels are equal.
  func firstCode(of bits: Int, missing bias: Float) -> Int? {
    (0..<1 << bits).first { code in
      let product = scale * Float(code)
      return product + bias != level(code)
    }
  }
}
