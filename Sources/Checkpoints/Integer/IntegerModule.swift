/// A module with integer zero points: its tensors, checked against each other and against the configuration.
struct IntegerModule: Sendable {
  let name: String
  let layout: IntegerQuantization.Layout
  let bits: Int
  let groupSize: Int
  let outputCount: Int
  let inputCount: Int
  let isSymmetric: Bool
  /// `qweight` `[in * bits / 32, out]`, in AWQ `[in, out * bits / 32]`, or `weight_packed` `[out, in * bits / 32]`, I32;
  /// or `weight` `[out, in]`, I8.
  let codes: TensorInfo
  /// `scales` `[groups, out]` or `weight_scale` `[out, groups]`, one for a whole matrix in the layout `bytes`.
  let scales: TensorInfo
  /// `qzeros` or `weight_zero_point`, I32, or I8 like the scales; nil when the zero points are not stored.
  let zeroPoints: TensorInfo?

  /// The number of groups in a row.
  var groupCount: Int { inputCount / groupSize }
  /// The zero point of symmetric codes.
  var middle: UInt8 { UInt8(1 << (bits - 1)) }

  /// The three tensors that represent the module in a checkpoint.
  var tensors: [TensorInfo] {
    quantizedLayout.tensors(of: name, rows: outputCount, columns: inputCount, tables: .f32)
  }

  /// How the module is laid out in a checkpoint.
  var quantizedLayout: QuantizedLayout { .affine(bits: bits, groupSize: groupSize) }
}

extension IntegerQuantization.Layout {
  /// The endings of a module's tensors: codes, scales, zero points, group index, and shape if there is one.
  var endings: (codes: String, scales: String, zeroPoints: String, groupIndex: String, shape: String?) {
    switch self {
    case .gptq, .awq: (".qweight", ".scales", ".qzeros", ".g_idx", nil)
    case .compressedTensors:
      (".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_g_idx", ".weight_shape")
    case .bytes: (".weight", ".weight_scale", ".weight_zero_point", ".weight_g_idx", nil)
    }
  }

  /// The module of a tensor that is a part of a quantized matrix, or nil for other tensors.
  func module(of tensor: TensorInfo) -> String? {
    let name = tensor.name
    // A matrix that is not quantized has the same name.
    if self == .bytes, name.hasSuffix(endings.codes), tensor.dtype != .i8 { return nil }
    for ending in [endings.codes, endings.scales, endings.zeroPoints, endings.groupIndex, endings.shape] {
      if let ending, name.hasSuffix(ending) { return String(name.dropLast(ending.count)) }
    }
    return nil
  }
}

/// Makes modules from tensors.
struct IntegerModuleReader {
  let quantization: IntegerQuantization
  let tensors: [String: TensorInfo]
  /// The folder, for errors.
  let path: String

  /// Reads a module and checks its shapes and dtypes.
  ///
  /// - Throws: `FormatError` with the tensor and the numbers that disagree.
  func module(_ name: String) throws(FormatError) -> IntegerModule {
    let endings = quantization.layout.endings
    guard let codes = tensors[name + endings.codes] else {
      let part = [endings.scales, endings.zeroPoints, endings.groupIndex, endings.shape ?? ""]
        .first { tensors[name + $0] != nil }
      throw FormatError(
        path, at: "tensor '\(name + (part ?? ""))'",
        .malformed("belongs to no module: there is no '\(name + endings.codes)'"))
    }
    let weight = ModuleTensor.weight.name(of: name)
    guard codes.name == weight || tensors[weight] == nil else {
      throw error(codes, .malformed("the module has '\(weight)' too"))
    }
    guard let scheme = try quantization.scheme(name) else {
      throw error(codes, .malformed("the configuration says that the module is not quantized"))
    }
    switch quantization.layout {
    case .gptq, .awq: return try gptq(name, scheme, codes)
    case .compressedTensors: return try compressedTensors(name, scheme, codes)
    case .bytes: return try bytes(name, scheme, codes)
    }
  }

  private func gptq(
    _ name: String, _ scheme: IntegerQuantization.Scheme, _ codes: TensorInfo
  ) throws(FormatError) -> IntegerModule {
    let zeroPoints = try require(name + ".qzeros")
    let scales = try require(name + ".scales")
    try check(codes, isMatrixOf: [.i32])
    try check(zeroPoints, isMatrixOf: [.i32])
    try check(scales, isMatrixOf: [.f16, .bf16, .f32])
    let layout = quantization.layout
    let bits = scheme.bits
    let (inputCount, outputCount) =
      layout == .awq
      ? try awqSize(of: codes, bits: bits)
      : (try inputCount(of: codes, words: codes.shape[0], bits: bits), codes.shape[1])
    guard outputCount * bits % 32 == 0 else {
      throw error(zeroPoints, .unsupported("\(outputCount) \(bits)-bit zero points do not fill whole words"))
    }
    let groupSize = try groupSize(scheme, inputCount: inputCount, of: codes)
    let groupCount = inputCount / groupSize
    try check(zeroPoints, [groupCount, outputCount * bits / 32], bits, groupSize)
    try check(scales, [groupCount, outputCount], bits, groupSize)
    return IntegerModule(
      name: name, layout: layout, bits: bits, groupSize: groupSize, outputCount: outputCount,
      inputCount: inputCount, isSymmetric: scheme.isSymmetric, codes: codes, scales: scales,
      zeroPoints: zeroPoints)
  }

  private func compressedTensors(
    _ name: String, _ scheme: IntegerQuantization.Scheme, _ codes: TensorInfo
  ) throws(FormatError) -> IntegerModule {
    let scales = try require(name + ".weight_scale")
    try check(codes, isMatrixOf: [.i32])
    try check(scales, isMatrixOf: [.f16, .bf16, .f32])
    let (bits, outputCount) = (scheme.bits, codes.shape[0])
    let inputCount = try inputCount(of: codes, words: codes.shape[1], bits: bits)
    let groupSize = try groupSize(scheme, inputCount: inputCount, of: codes)
    let groupCount = inputCount / groupSize
    try check(scales, [outputCount, groupCount], bits, groupSize)
    let zeroPoints = scheme.isSymmetric ? nil : try require(name + ".weight_zero_point")
    if let zeroPoints {
      try check(zeroPoints, isMatrixOf: [.i32])
      try check(zeroPoints, [(outputCount * bits + 31) / 32, groupCount], bits, groupSize)
    } else if let unexpected = tensors[name + ".weight_zero_point"] {
      throw error(unexpected, .malformed("the configuration says that the module is symmetric"))
    }
    return IntegerModule(
      name: name, layout: .compressedTensors, bits: bits, groupSize: groupSize, outputCount: outputCount,
      inputCount: inputCount, isSymmetric: scheme.isSymmetric, codes: codes, scales: scales,
      zeroPoints: zeroPoints)
  }
}

extension IntegerModuleReader {
  private func bytes(
    _ name: String, _ scheme: IntegerQuantization.Scheme, _ codes: TensorInfo
  ) throws(FormatError) -> IntegerModule {
    try check(codes, isMatrixOf: [.i8])
    let (outputCount, inputCount) = (codes.shape[0], codes.shape[1])
    // A row of packed codes has whole words.
    guard inputCount * scheme.bits % 32 == 0 else {
      throw error(codes, .unsupported("\(inputCount) \(scheme.bits)-bit codes do not fill whole words"))
    }
    let groupSize = try groupSize(scheme, inputCount: inputCount, of: codes)
    let groupCount = inputCount / groupSize
    func table(_ ending: String, _ dtypes: [DType]) throws(FormatError) -> TensorInfo {
      let tensor = try require(name + ending)
      guard dtypes.contains(tensor.dtype) else {
        throw error(tensor, .unsupportedKind("\(tensor.dtype.rawValue)", supported: dtypes.map(\.rawValue)))
      }
      let isOfMatrix = scheme.groupSize == nil && tensor.elementCount == 1 && tensor.shape.count < 2
      if !isOfMatrix { try check(tensor, [outputCount, groupCount], scheme.bits, groupSize) }
      return tensor
    }
    let scales = try table(".weight_scale", [.f16, .bf16, .f32])
    let zeroPoints = scheme.isSymmetric ? nil : try table(".weight_zero_point", [.i8])
    if scheme.isSymmetric, let unexpected = tensors[name + ".weight_zero_point"] {
      throw error(unexpected, .malformed("the configuration says that the module is symmetric"))
    }
    return IntegerModule(
      name: name, layout: .bytes, bits: scheme.bits, groupSize: groupSize, outputCount: outputCount,
      inputCount: inputCount, isSymmetric: scheme.isSymmetric, codes: codes, scales: scales,
      zeroPoints: zeroPoints)
  }

  private func require(_ name: String) throws(FormatError) -> TensorInfo {
    guard let tensor = tensors[name] else { throw FormatError(path, .missing("tensor '\(name)'")) }
    return tensor
  }

  private func check(_ tensor: TensorInfo, isMatrixOf dtypes: [DType]) throws(FormatError) {
    guard dtypes.contains(tensor.dtype), tensor.shape.count == 2, !tensor.shape.contains(0) else {
      throw error(
        tensor,
        .malformed(
          "is \(tensor.dtype.rawValue) \(tensor.shape); expected 2 dimensions of "
            + "\(dtypes.map(\.rawValue).joined(separator: ", "))"))
    }
  }

  private func check(
    _ tensor: TensorInfo, _ shape: [Int], _ bits: Int, _ groupSize: Int
  ) throws(FormatError) {
    guard tensor.shape == shape else {
      throw FormatError(
        path, at: "tensor '\(tensor.name)' of \(bits) bits in groups of \(groupSize)",
        .shape(expected: shape, found: tensor.shape))
    }
  }

  /// The inputs and outputs of AWQ's codes.
  private func awqSize(of codes: TensorInfo, bits: Int) throws(FormatError) -> (Int, Int) {
    guard bits == AWQOrder.bits else {
      throw error(codes, .unsupported("\(bits)-bit codes in AWQ's order are not supported"))
    }
    let (inputs, words) = (codes.shape[0], codes.shape[1])
    // A row of packed codes has whole words.
    guard inputs % AWQOrder.count == 0 else {
      throw error(codes, .unsupported("\(inputs) \(bits)-bit codes do not fill whole words"))
    }
    return (inputs, words * AWQOrder.count)
  }

  /// The number of columns in the words of a row; the product fits because a matrix without a zero dimension
  /// fits its file.
  private func inputCount(of codes: TensorInfo, words: Int, bits: Int) throws(FormatError) -> Int {
    guard words * 32 % bits == 0 else {
      throw error(codes, .malformed("\(words) words per row are not a whole number of \(bits)-bit codes"))
    }
    return words * 32 / bits
  }

  private func groupSize(
    _ scheme: IntegerQuantization.Scheme, inputCount: Int, of codes: TensorInfo
  ) throws(FormatError) -> Int {
    let groupSize = scheme.groupSize ?? inputCount
    guard inputCount % groupSize == 0 else {
      throw error(codes, .unsupported("\(inputCount) columns are not whole groups of \(groupSize)"))
    }
    return groupSize
  }

  private func error(_ tensor: TensorInfo, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "tensor '\(tensor.name)'", problem)
  }
}
