import Checkpoints
import TestSupport

/// The bytes of a GGUF file, sound unless told otherwise.
struct GGUFBytes {
  /// A tensor as the file declares it, and its data.
  struct Tensor {
    var name: [UInt8]
    /// Innermost first, as in the file.
    var dimensions: [UInt64]
    var type: UInt32
    var data: [UInt8]
    /// Instead of the running sum.
    var offset: UInt64?

    init(
      _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, _ data: [UInt8], offset: UInt64? = nil
    ) {
      self.name = Array(name.utf8)
      self.dimensions = dimensions
      self.type = type
      self.data = data
      self.offset = offset
    }
  }

  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// Instead of the numbers of those there are.
  var tensorCount: UInt64?
  var keyCount: UInt64?
  /// Bytes of keys instead of those that there are.
  var keyBytes: [UInt8]?
  /// Keys, each with the bytes of type and value.
  var keys: [(key: [UInt8], value: [UInt8])] = []
  var tensors: [Tensor] = []
  var alignment = 32
  var padsLastTensor = true

  init(_ change: (inout GGUFBytes) -> Void = { _ in }) { change(&self) }

  mutating func add(_ key: String, _ value: GGUFValue) {
    keys.append((Array(key.utf8), Self.number(value.type.rawValue) + Self.encode(value)))
  }

  /// The whole file.
  var bytes: [UInt8] {
    var file = magic + Self.number(version)
    file += Self.number(tensorCount ?? UInt64(tensors.count)) + Self.number(keyCount ?? UInt64(keys.count))
    file += keyBytes ?? keys.flatMap { Self.number(UInt64($0.key.count)) + $0.key + $0.value }
    var offset = 0
    for tensor in tensors {
      file += Self.number(UInt64(tensor.name.count)) + tensor.name
      file += Self.number(UInt32(tensor.dimensions.count)) + tensor.dimensions.flatMap { Self.number($0) }
      file += Self.number(tensor.type) + Self.number(tensor.offset ?? UInt64(offset))
      offset += padded(tensor.data.count)
    }
    for (i, tensor) in tensors.enumerated() {
      file += [UInt8](repeating: 0, count: padded(file.count) - file.count) + tensor.data
      guard i == tensors.count - 1, padsLastTensor else { continue }
      file += [UInt8](repeating: 0, count: padded(file.count) - file.count)
    }
    return file
  }

  private func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

  /// The bytes of an integer, lowest first.
  static func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    value.littleEndianBytes
  }

  static func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count)) + Array(text.utf8) }

  /// The bytes of a value without its type.
  static func encode(_ value: GGUFValue) -> [UInt8] {
    switch value {
    case .uint8(let value): number(value)
    case .int8(let value): number(value)
    case .uint16(let value): number(value)
    case .int16(let value): number(value)
    case .uint32(let value): number(value)
    case .int32(let value): number(value)
    case .float32(let value): number(value.bitPattern)
    case .bool(let value): [value ? 1 : 0]
    case .string(let value): text(value)
    case .array(let type, let values):
      number(type.rawValue) + number(UInt64(values.count)) + values.flatMap(encode)
    case .uint64(let value): number(value)
    case .int64(let value): number(value)
    case .float64(let value): number(value.bitPattern)
    }
  }
}

extension GGUFHeader {
  /// Reads the header of a file in memory, called `x.gguf`.
  init(_ file: [UInt8]) throws {
    try self.init(of: InputFile(file, path: "x.gguf"))
  }
}
