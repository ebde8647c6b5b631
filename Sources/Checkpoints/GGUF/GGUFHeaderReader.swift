/// Reads the parts of a GGUF header in their order.
///
/// ```
/// "GGUF"  u32 version  u64 tensors  u64 keys
/// key:    u64 length, text   u32 type   value
/// tensor: u64 length, name   u32 dimensions   u64 each, innermost first   u32 type   u64 offset
/// ```
struct GGUFHeaderReader {
  /// A tensor as the file declares it.
  struct Declaration {
    let name: String
    let type: GGUFTensorType
    /// Slowest first.
    let shape: [Int]
    let byteCount: Int
    let offset: UInt64
    /// The position of the offset in the file.
    let offsetPosition: Int
  }

  /// The minimum size of a key with its value: a text of one byte, and a value of one byte.
  private static let keyByteCount = 8 + 1 + 4 + 1
  /// The minimum size of a tensor's declaration.
  private static let declarationByteCount = 8 + 4 + 8 + 4
  /// The maximum length of a tensor's name in llama.cpp, which stores a zero after it.
  private static let nameByteLimit = 63
  private static let keyByteLimit = 65_535
  /// The maximum number of values, four times those of the largest vocabularies; a value takes more memory
  /// than bytes.
  private static let arrayValueLimit = 1 << 23

  private let path: String
  private var cursor: GGUFCursor
  private var arrayValueCount = 0

  init(path: String, fileByteCount: Int) {
    self.path = path
    cursor = GGUFCursor(path: path, fileByteCount: fileByteCount)
  }

  /// Whether the last error only means that the given beginning of the file is too short.
  var wantsMore: Bool { cursor.wantsMore }

  /// The bytes read so far.
  var position: Int { cursor.position }

  /// Reads everything before the first key.
  mutating func readStart(
    _ file: RawSpan
  ) throws(FormatError) -> (version: Int, tensors: Int, keys: Int) {
    guard file.starts(with: GGUFHeader.magic) else {
      throw cursor.error(.malformed("does not begin with 'GGUF'"))
    }
    _ = try cursor.take(GGUFHeader.magic.utf8CodeUnitCount, of: file)
    let start = cursor.position
    let version: UInt32 = try cursor.integer(file)
    switch version {
    case 2, 3: break
    case let swapped where (1...0xFFFF).contains(swapped.byteSwapped):
      throw cursor.error(.unsupportedKind("a big-endian file"), byte: start)
    default: throw cursor.error(.unsupportedKind("version \(version)", supported: ["2", "3"]), byte: start)
    }
    let tensors = try cursor.count(file, of: "tensors", atLeast: Self.declarationByteCount)
    let keys = try cursor.count(file, of: "keys", atLeast: Self.keyByteCount)
    return (Int(version), tensors, keys)
  }

  /// Reads the keys and their values.
  mutating func readMetadata(_ file: RawSpan, count: Int) throws(FormatError) -> GGUFMetadata {
    var metadata = GGUFMetadata()
    for i in 0..<count {
      cursor.place = "key \(i)"
      let start = cursor.position
      let key = try cursor.string(file)
      guard (1...Self.keyByteLimit).contains(key.utf8.count) else {
        throw cursor.error(.malformed("a key of \(key.utf8.count) bytes"), byte: start)
      }
      cursor.place = "key '\(key)'"
      let value = try readValue(of: try readType(file), file)
      guard metadata.insert(key, value) else { throw cursor.error(.malformed("is there twice"), byte: start) }
    }
    cursor.place = nil
    return metadata
  }

  private mutating func readType(_ file: RawSpan) throws(FormatError) -> GGUFValueType {
    let start = cursor.position
    let number: UInt32 = try cursor.integer(file)
    guard let type = GGUFValueType(rawValue: number) else {
      throw cursor.error(.malformed("value type \(number)"), byte: start)
    }
    return type
  }

  private mutating func readValue(
    of type: GGUFValueType, _ file: RawSpan
  ) throws(FormatError) -> GGUFValue {
    switch type {
    case .uint8: return .uint8(try cursor.integer(file))
    case .int8: return .int8(try cursor.integer(file))
    case .uint16: return .uint16(try cursor.integer(file))
    case .int16: return .int16(try cursor.integer(file))
    case .uint32: return .uint32(try cursor.integer(file))
    case .int32: return .int32(try cursor.integer(file))
    case .float32: return .float32(Float(bitPattern: try cursor.integer(file)))
    case .bool: return .bool(try readBool(file))
    case .string: return .string(try cursor.string(file))
    case .array: return try readArray(file)
    case .uint64: return .uint64(try cursor.integer(file))
    case .int64: return .int64(try cursor.integer(file))
    case .float64: return .float64(Double(bitPattern: try cursor.integer(file)))
    }
  }

  private mutating func readBool(_ file: RawSpan) throws(FormatError) -> Bool {
    let start = cursor.position
    let byte: UInt8 = try cursor.integer(file)
    guard byte <= 1 else { throw cursor.error(.malformed("truth value \(byte)"), byte: start) }
    return byte == 1
  }

  private mutating func readArray(_ file: RawSpan) throws(FormatError) -> GGUFValue {
    let start = cursor.position
    let type = try readType(file)
    guard type != .array else { throw cursor.error(.unsupportedKind("an array of arrays"), byte: start) }
    let count = try cursor.count(file, of: "values", atLeast: type.leastByteCount)
    arrayValueCount += count
    guard arrayValueCount <= Self.arrayValueLimit else {
      throw cursor.error(
        .unsupported("has \(arrayValueCount) values in arrays, the limit is \(Self.arrayValueLimit)"),
        byte: start
      )
    }
    var values: [GGUFValue] = []
    for _ in 0..<count { values.append(try readValue(of: type, file)) }
    return .array(elementType: type, values)
  }

  /// The alignment that the metadata states.
  func alignment(_ metadata: GGUFMetadata) throws(FormatError) -> Int {
    guard let value = metadata[GGUFHeader.alignmentKey] else { return GGUFHeader.defaultAlignment }
    let place = "key '\(GGUFHeader.alignmentKey)'"
    guard case .uint32(let alignment) = value else {
      throw FormatError(path, at: place, .malformed("is not a u32"))
    }
    guard alignment >= 8, alignment.nonzeroBitCount == 1 else {
      throw FormatError(path, at: place, .malformed("\(alignment) is not a power of two from 8"))
    }
    return Int(alignment)
  }

  /// Reads the declarations of the tensors.
  mutating func readDeclarations(_ file: RawSpan, count: Int) throws(FormatError) -> [Declaration] {
    var declarations: [Declaration] = []
    var names: Set<String> = []
    for i in 0..<count {
      cursor.place = "tensor \(i)"
      let start = cursor.position
      let name = try cursor.string(file)
      guard (1...Self.nameByteLimit).contains(name.utf8.count) else {
        throw cursor.error(
          .malformed("a name of \(name.utf8.count) bytes, not 1 to \(Self.nameByteLimit)"), byte: start)
      }
      cursor.place = "tensor '\(name)'"
      guard names.insert(name).inserted else {
        throw cursor.error(.malformed("is there twice"), byte: start)
      }
      declarations.append(try readDeclaration(named: name, file))
    }
    cursor.place = nil
    return declarations
  }

  private mutating func readDeclaration(
    named name: String, _ file: RawSpan
  ) throws(FormatError) -> Declaration {
    let shapePosition = cursor.position
    let shape = try readShape(file)
    let typePosition = cursor.position
    let number: UInt32 = try cursor.integer(file)
    guard let type = GGUFTensorType(rawValue: number) else {
      throw cursor.error(
        .unsupportedKind("tensor type \(GGUFTensorType.describe(number))"), byte: typePosition)
    }
    let byteCount = try byteCount(of: shape, type, at: shapePosition)
    let offsetPosition = cursor.position
    let offset: UInt64 = try cursor.integer(file)
    return Declaration(
      name: name, type: type, shape: shape, byteCount: byteCount, offset: offset,
      offsetPosition: offsetPosition)
  }

  private mutating func readShape(_ file: RawSpan) throws(FormatError) -> [Int] {
    let start = cursor.position
    let count: UInt32 = try cursor.integer(file)
    guard (1...4).contains(count) else {
      throw cursor.error(.malformed("\(count) dimensions, not 1 to 4"), byte: start)
    }
    var dimensions: [Int] = []
    for _ in 0..<count {
      let dimensionPosition = cursor.position
      let dimension: UInt64 = try cursor.integer(file)
      guard let size = Int(exactly: dimension) else {
        throw cursor.error(.malformed("a dimension of \(dimension)"), byte: dimensionPosition)
      }
      dimensions.append(size)
    }
    return dimensions.reversed()
  }

  /// The bytes of a tensor's blocks.
  private func byteCount(
    of shape: [Int], _ type: GGUFTensorType, at position: Int
  ) throws(FormatError) -> Int {
    let rowLength = shape.last ?? 0
    guard rowLength % type.blockElementCount == 0 else {
      throw cursor.error(
        .malformed(
          "rows of \(rowLength) values are not whole \(type.name) blocks of \(type.blockElementCount)"),
        byte: position)
    }
    // Checks the size as floats, which is larger than that of any type, so that nothing made from it
    // overflows.
    guard let info = TensorInfo(checking: "", dtype: .f32, shape: shape) else {
      throw cursor.error(.malformed("shape \(shape) overflows"), byte: position)
    }
    return info.elementCount / type.blockElementCount * type.blockByteCount
  }
}

extension GGUFValueType {
  /// The minimum size of a value, in bytes.
  fileprivate var leastByteCount: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .string, .array, .uint64, .int64, .float64: 8
    }
  }
}
