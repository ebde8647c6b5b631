import Kernels

/// A tensor that is made of small numbers and scales when it is read.
protocol ScaledTensor: Sendable {
  /// The tensor as it is read.
  var tensor: TensorInfo { get }
  /// The tensors that it is made of; the codes are the first.
  var parts: [TensorInfo] { get }
  /// Whether BF16 holds every value.
  var isExact: Bool { get }
  /// Whether some values are less work than all.
  var hasParts: Bool { get }
  /// The values, rounded to nearest.
  ///
  /// - Parameters:
  ///   - elements: The elements that are needed.
  ///   - store: The files.
  ///   - path: The folder, for errors.
  /// - Returns: At least these elements, and the index of the first.
  /// - Throws: `FormatError` when a scale is not finite.
  func part(
    _ elements: Range<Int>, from store: SafetensorsStore, path: String
  ) throws -> (start: Int, bytes: TensorBytes)
}

extension ScaledTensor {
  /// The bytes that the files have for it.
  var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
}

/// A matrix of small floats or bytes with scales, which is read as BF16.
struct ScaledMatrix: ScaledTensor {
  /// The dtype that it is read as.
  static let dtype = DType.bf16
  /// The approximate number of bytes that are made at a time.
  private static let chunkByteCount = 1 << 18

  /// The matrix `[out, in]` as it is read.
  let tensor: TensorInfo
  /// Its codes: `F8_E4M3` or `I8` of the same shape, or two E2M1 to a byte.
  private let codes: TensorInfo
  /// The scales, one to a block in the order of rows of blocks.
  private let scales: TensorInfo
  /// What multiplies all scales, or divides them.
  private let global: TensorInfo?
  /// Whether `global` divides.
  private let dividesGlobal: Bool
  private let block: ScaleBlock
  private let type: ScaledFormat.Codes
  /// The order of the codes of bitsandbytes, a number; nil if there is none.
  private let order: TensorInfo?

  var parts: [TensorInfo] { [codes, scales] + [global, order].compactMap(\.self) }
  // A code has at most four digits, and BF16 eight.
  var isExact: Bool { global == nil && Self.powers.contains(scales.dtype) }
  var hasParts: Bool { false }

  /// Puts together the tensors of a module.
  ///
  /// - Parameters:
  ///   - module: The name of the module.
  ///   - codes: Its codes.
  ///   - format: How they are stored.
  ///   - path: The folder, for errors.
  ///   - find: Gives a tensor by its name.
  /// - Throws: `FormatError` when a tensor is missing or has another shape.
  init(
    _ module: String, _ codes: TensorInfo, _ format: ScaledFormat, path: String,
    find: (String) -> TensorInfo?
  ) throws(FormatError) {
    func part(_ ending: String) throws(FormatError) -> TensorInfo {
      try format.part(ending, of: module, codes, path: path, find: find)
    }
    func refused(_ tensor: TensorInfo, _ reason: String) -> FormatError {
      FormatError(path, at: "tensor '\(tensor.name)'", .malformed(reason))
    }
    let scales = try part(format.endings.scales)
    guard codes.shape.count == 2, codes.elementCount > 0 else {
      throw refused(codes, "\(codes.dtype.rawValue) of shape \(codes.shape) is no matrix")
    }
    let (rows, columns) = (codes.shape[0], codes.shape[1] * (format.codes == .e2M1 ? 2 : 1))
    guard let tensor = TensorInfo(checking: module + ".weight", dtype: Self.dtype, shape: [rows, columns])
    else { throw refused(codes, "shape \(codes.shape) is too large") }
    guard FloatFormat(scales.dtype) != nil || Self.smallFloats(scales.dtype) != nil else {
      throw FormatError(
        path, at: "tensor '\(scales.name)'", .unsupportedKind("scales in \(scales.dtype.rawValue)"))
    }
    block = format.block(ofScales: scales, rows: rows, columns: columns)
    let expected = [(rows - 1) / block.rowCount + 1, (columns - 1) / block.columnCount + 1]
    guard scales.shape == expected || scales.elementCount == expected[0] && expected[1] == 1 else {
      throw FormatError(
        path, at: "tensor '\(scales.name)'", .shape(expected: expected, found: scales.shape))
    }
    global = try format.global.map { global throws(FormatError) in try part(global.ending) }
    if let global, global.elementCount != 1 || global.dtype != .f32 {
      throw refused(global, "\(global.dtype.rawValue) of shape \(global.shape) is not one number in F32")
    }
    if case .divides = format.global { dividesGlobal = true } else { dividesGlobal = false }
    (self.tensor, self.codes, self.scales) = (tensor, codes, scales)
    type = format.codes
    order = format.codes == .int8 ? find(module + ".weight_format") : nil
  }

  /// Refuses codes that are not row by row, as bitsandbytes had them for some processors.
  ///
  /// - Parameters:
  ///   - path: The folder, for the error.
  ///   - read: Gives the bytes of a tensor.
  /// - Throws: `FormatError` when the codes have another order; errors of `read`.
  func requireRows(path: String, read: (TensorInfo) throws -> TensorBytes) throws {
    guard let order else { return }
    let bytes = try read(order).withSpan { $0.copiedBytes() }
    guard bytes.allSatisfy({ $0 == 0 }) else {
      throw FormatError(
        path, at: "tensor '\(order.name)'", .unsupported("codes that are not in rows are not read"))
    }
  }

  /// The dtypes of scales that are powers of two.
  private static let powers: [DType] = [.f8E8M0, .u8]

  /// The numbers of a dtype of 8 bits that scales may have; nil for another.
  private static func smallFloats(_ dtype: DType) -> [Float]? {
    switch dtype {
    case .f8E4M3: SmallFloat.e4M3
    case .f8E8M0, .u8: SmallFloat.e8M0
    default: nil
    }
  }

  func part(
    _ elements: Range<Int>, from store: SafetensorsStore, path: String
  ) throws -> (start: Int, bytes: TensorBytes) {
    (0, try bytes(from: store, path: path))
  }

  private func bytes(from store: SafetensorsStore, path: String) throws -> TensorBytes {
    let scales = try readScales(from: store, path: path)
    let columns = tensor.shape[1]
    let scalesPerRow = (columns - 1) / block.columnCount + 1
    var output = [UInt8](repeating: 0, count: tensor.byteCount)
    var span = output.mutableSpan
    let rowByteCount = 2 * columns
    try store.bytes(of: codes).withSpan { codes in
      parallelRows(
        of: &span, columnCount: rowByteCount, rowsPerChunk: max(1, Self.chunkByteCount / rowByteCount)
      ) { rows, part in
        var values = [Float](repeating: 0, count: columns)
        for row in rows {
          let first = row / block.rowCount * scalesPerRow
          let width = codes.byteCount / tensor.shape[0]
          write(
            codes.extracting(row * width..<(row + 1) * width),
            scales.span.extracting(first..<first + scalesPerRow), into: &values)
          let start = (row - rows.lowerBound) * rowByteCount
          var target = part.slice(start..<start + rowByteCount)
          narrow(values.span, to: .bf16, into: &target)
        }
      }
    }
    return TensorBytes(output)
  }

  /// Writes the weights of a row.
  private func write(_ codes: RawSpan, _ scales: Span<Float>, into values: inout [Float]) {
    let (table, unit) = Self.numbers(of: type)
    let numbers = table.span
    var values = values.mutableSpan
    for group in scales.indices {
      let scale = scales[group]
      let start = group * block.columnCount
      for i in start..<min(start + block.columnCount, values.count) {
        let code =
          type == .e2M1 ? codes.byte(at: i / 2) >> UInt8(i % 2 * 4) & 15 : codes.byte(at: i)
        values[i] = numbers[Int(code)] * scale * unit
      }
    }
  }

  /// The numbers of codes, and what every product with a scale is multiplied by.
  private static func numbers(of type: ScaledFormat.Codes) -> (numbers: [Float], unit: Float) {
    switch type {
    case .e4M3: (SmallFloat.e4M3, 1)
    case .e2M1: (SmallFloat.e2M1, 1)
    case .int8: (SmallFloat.int8, 1 / 127)
    case .tabled: preconditionFailure("codes with a table of their own")
    }
  }

  private func readScales(from store: SafetensorsStore, path: String) throws -> [Float] {
    func refused(_ tensor: TensorInfo, _ index: Int) -> FormatError {
      FormatError(path, at: "tensor '\(tensor.name)'", .malformed("value \(index) is not finite"))
    }
    var values = try store.bytes(of: scales).withSpan { bytes in
      if let format = FloatFormat(scales.dtype) { return widened(bytes, from: format) }
      let numbers = Self.smallFloats(scales.dtype) ?? []
      return (0..<bytes.byteCount).map { numbers[Int(bytes.byte(at: $0))] }
    }
    if let index = values.firstIndex(where: { !$0.isFinite }) { throw refused(scales, index) }
    guard let global else { return values }
    let factor = try store.bytes(of: global).withSpan { widened($0, from: .f32)[0] }
    for i in values.indices { values[i] = dividesGlobal ? values[i] / factor : values[i] * factor }
    guard values.allSatisfy(\.isFinite) else { throw refused(global, 0) }
    return values
  }
}
