import Kernels

/// A matrix whose codes of 4 bits stand for the numbers of a table, as bitsandbytes stores NF4 and FP4, read as the
/// dtype that it had before.
///
/// `Formats/scaled-floats.md` has the layout.
struct TabledMatrix: ScaledTensor {
  /// The approximate number of bytes that are made at a time.
  private static let chunkByteCount = 1 << 18
  private static let dtypes: [String: DType] = ["float16": .f16, "bfloat16": .bf16, "float32": .f32]

  /// The matrix `[out, in]` as it is read.
  let tensor: TensorInfo
  let parts: [TensorInfo]
  // bitsandbytes rounds to the same dtype.
  var isExact: Bool { true }
  var hasParts: Bool { false }
  /// The numbers of the codes, 16 in F32.
  private let table: TensorInfo
  /// The scales, one for each block of the elements in their order: F32, or places in the table of `nested`.
  private let scales: TensorInfo
  /// How scales in 8 bits are stored; nil if they are floats.
  private let nested: Nested?
  private let blockSize: Int

  /// Scales in 8 bits: the number of a table times a scale of their block, plus an offset.
  private struct Nested {
    /// 256 numbers in F32.
    let table: TensorInfo
    /// One to a block, F32.
    let scales: TensorInfo
    let blockSize: Int
    let offset: Float
  }

  /// What follows the name of the codes in that of their description, for a type of `bnb_4bit_quant_type`.
  static func stateEnding(_ type: String) -> String { ".quant_state.bitsandbytes__" + type }

  /// Puts together the tensors of a module.
  ///
  /// - Parameters:
  ///   - module: The name of the module.
  ///   - codes: Its codes, two to a byte, in a tensor of any dtype.
  ///   - type: `nf4` or `fp4`.
  ///   - path: The folder, for errors.
  ///   - find: Gives a tensor by its name.
  ///   - read: Gives the bytes of a tensor.
  /// - Throws: `FormatError` when a tensor is missing or has another shape; errors of `read`.
  init(
    _ module: String, _ codes: TensorInfo, type: String, path: String, find: (String) -> TensorInfo?,
    read: (TensorInfo) throws -> TensorBytes
  ) throws {
    let name = module + ".weight"
    var parts = [codes]
    func part(_ ending: String, _ dtype: DType, count: Int? = nil) throws -> TensorInfo {
      guard let tensor = find(name + ending) else {
        throw FormatError(path, at: "tensor '\(codes.name)'", .missing("tensor '\(name + ending)'"))
      }
      guard tensor.dtype == dtype, count.map({ $0 == tensor.elementCount }) ?? true else {
        let expected = dtype.rawValue + (count.map { " of \($0) elements" } ?? "")
        throw FormatError(
          path, at: "tensor '\(tensor.name)'",
          .malformed("is \(tensor.dtype.rawValue) \(tensor.shape), expected \(expected)"))
      }
      parts.append(tensor)
      return tensor
    }
    let description = try part(Self.stateEnding(type), .u8)
    let state = try State(read(description), of: description, path: path)
    guard let tensor = TensorInfo(checking: name, dtype: state.dtype, shape: state.shape),
      codes.byteCount == (tensor.elementCount + 1) / 2, tensor.elementCount > 0
    else {
      throw FormatError(
        path, at: "tensor '\(codes.name)'",
        .malformed("shape \(codes.shape) does not hold \(state.shape) in two codes to a byte"))
    }
    table = try part(".quant_map", .f32, count: 16)
    let blockCount = (tensor.elementCount - 1) / state.blockSize + 1
    scales = try part(".absmax", state.nested == nil ? .f32 : .u8, count: blockCount)
    nested = try state.nested.map { blockSize, offset in
      Nested(
        table: try part(".nested_quant_map", .f32, count: 256),
        scales: try part(".nested_absmax", .f32, count: (blockCount - 1) / blockSize + 1),
        blockSize: blockSize, offset: offset)
    }
    (self.tensor, self.parts, blockSize) = (tensor, parts, state.blockSize)
  }

  func part(
    _ elements: Range<Int>, from store: SafetensorsStore, path: String
  ) throws -> (start: Int, bytes: TensorBytes) {
    guard let format = FloatFormat(tensor.dtype) else { preconditionFailure("a dtype that is no float") }
    let (table, scales) = (try floats(table, store, path), try readScales(store, path))
    let columns = tensor.shape[1]
    let rowByteCount = tensor.byteCount / tensor.shape[0]
    var output = [UInt8](repeating: 0, count: tensor.byteCount)
    var span = output.mutableSpan
    try store.bytes(of: parts[0]).withSpan { codes in
      parallelRows(
        of: &span, columnCount: rowByteCount, rowsPerChunk: max(1, Self.chunkByteCount / rowByteCount)
      ) { rows, part in
        var values = [Float](repeating: 0, count: columns)
        for row in rows {
          write(row * columns, codes, table.span, scales.span, into: &values)
          let start = (row - rows.lowerBound) * rowByteCount
          var target = part.slice(start..<start + rowByteCount)
          narrow(values.span, to: format, into: &target)
        }
      }
    }
    return (0, TensorBytes(output))
  }

  /// Writes the values from an element on.
  private func write(
    _ first: Int, _ codes: RawSpan, _ table: Span<Float>, _ scales: Span<Float>, into values: inout [Float]
  ) {
    var values = values.mutableSpan
    var start = 0
    while start < values.count {
      let (block, place) = (first + start).quotientAndRemainder(dividingBy: blockSize)
      let scale = scales[block]
      let end = start + min(values.count - start, blockSize - place)
      for i in start..<end {
        let byte = codes.byte(at: (first + i) / 2)
        let code = (first + i).isMultiple(of: 2) ? byte >> 4 : byte & 15
        values[i] = table[Int(code)] * scale
      }
      start = end
    }
  }

  private func readScales(_ store: SafetensorsStore, _ path: String) throws -> [Float] {
    guard let nested else { return try floats(scales, store, path) }
    let (numbers, outer) = (try floats(nested.table, store, path), try floats(nested.scales, store, path))
    let values = try store.bytes(of: scales).withSpan { codes in
      (0..<codes.byteCount).map {
        numbers[Int(codes.byte(at: $0))] * outer[$0 / nested.blockSize] + nested.offset
      }
    }
    try requireFinite(values, scales, path)
    return values
  }

  private func floats(_ tensor: TensorInfo, _ store: SafetensorsStore, _ path: String) throws -> [Float] {
    let values = try store.bytes(of: tensor).withSpan { widened($0, from: .f32) }
    try requireFinite(values, tensor, path)
    return values
  }

  private func requireFinite(_ values: [Float], _ tensor: TensorInfo, _ path: String) throws(FormatError) {
    guard let index = values.firstIndex(where: { !$0.isFinite }) else { return }
    throw FormatError(path, at: "tensor '\(tensor.name)'", .malformed("value \(index) is not finite"))
  }
}

extension TabledMatrix {
  /// What bitsandbytes stores beside the codes as a text, an object.
  private struct State {
    let shape: [Int]
    let dtype: DType
    /// The elements that share a scale.
    let blockSize: Int
    /// The scales that share one, and what is added to them; nil if scales are floats.
    let nested: (blockSize: Int, offset: Float)?

    init(_ bytes: TensorBytes, of tensor: TensorInfo, path: String) throws(FormatError) {
      func refused(_ problem: FormatError.Problem) -> FormatError {
        FormatError(path, at: "tensor '\(tensor.name)'", problem)
      }
      let text = bytes.withSpan { $0.copiedBytes() }
      guard let object = try? JSONValue(parsing: text) else { throw refused(.malformed("is not JSON")) }
      func count(_ key: String) throws(FormatError) -> Int {
        guard let value = object[key]?.integer, value > 0 else {
          throw refused(.malformed("'\(key)' is not a positive integer"))
        }
        return value
      }
      let sizes = object["shape"]?.array ?? []
      shape = sizes.compactMap(\.integer)
      guard shape.count == 2, sizes.count == 2, shape.allSatisfy({ $0 > 0 }) else {
        throw refused(.malformed("'shape' is not rows and columns"))
      }
      let name = object["dtype"]?.string ?? ""
      guard let dtype = TabledMatrix.dtypes[name] else {
        throw refused(.unsupportedKind("dtype '\(name)'", supported: TabledMatrix.dtypes.keys.sorted()))
      }
      self.dtype = dtype
      blockSize = try count("blocksize")
      guard let offset = object["nested_offset"], !offset.isNull else {
        nested = nil
        return
      }
      let number = Float(offset.double ?? .nan)
      guard number.isFinite else { throw refused(.malformed("'nested_offset' is not a number")) }
      nested = (try count("nested_blocksize"), number)
    }
  }
}
