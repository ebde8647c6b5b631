/// The bytes of numbers, strings and metadata as a GGUF file has them: little-endian, without padding.
extension [UInt8] {
  /// Appends the length in bytes, then UTF-8.
  mutating func appendGGUF(_ text: String) {
    appendInteger(UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  /// Appends a value without its type.
  mutating func appendGGUF(_ value: GGUFValue) {
    switch value {
    case .uint8(let value): append(value)
    case .int8(let value): appendInteger(value)
    case .uint16(let value): appendInteger(value)
    case .int16(let value): appendInteger(value)
    case .uint32(let value): appendInteger(value)
    case .int32(let value): appendInteger(value)
    case .float32(let value): appendInteger(value.bitPattern)
    case .bool(let value): append(value ? 1 : 0)
    case .string(let text): appendGGUF(text)
    case .array(let elementType, let values):
      appendInteger(elementType.rawValue)
      appendInteger(UInt64(values.count))
      for value in values { appendGGUF(value) }
    case .uint64(let value): appendInteger(value)
    case .int64(let value): appendInteger(value)
    case .float64(let value): appendInteger(value.bitPattern)
    }
  }
}

/// Where the parts of a GGUF file go, known before any tensor is there.
package struct GGUFWriterLayout {
  /// A tensor of the file.
  package struct Entry {
    let name: String
    /// Slowest first.
    let shape: [Int]
    let type: GGUFTensorType
    let byteCount: Int

    /// Describes a tensor; of a matrix the last dimension is that of a row.
    package init(name: String, shape: [Int], type: GGUFTensorType, byteCount: Int) {
      self.name = name
      self.shape = shape
      self.type = type
      self.byteCount = byteCount
    }
  }

  private static let version: UInt32 = 3
  private static let alignment = 32

  /// Everything before the first tensor, padding included.
  package let headerBytes: [UInt8]
  /// Where each tensor begins, from the start of the file.
  package let offsets: [Int]
  /// Where the last tensor ends, before its padding.
  let dataEnd: Int
  /// The size of the whole file.
  package let fileByteCount: Int

  /// Lays out a file.
  package init(_ members: [GGUFExportMember], _ entries: [Entry]) {
    var bytes = Array("GGUF".utf8)
    bytes.appendInteger(Self.version)
    bytes.appendInteger(UInt64(entries.count))
    bytes.appendInteger(UInt64(members.count))
    for member in members {
      bytes.appendGGUF(member.key)
      bytes.appendInteger(member.value.type.rawValue)
      bytes.appendGGUF(member.value)
    }
    var end = 0
    var begins: [Int] = []
    for entry in entries {
      bytes.appendGGUF(entry.name)
      bytes.appendInteger(UInt32(entry.shape.count))
      for dimension in entry.shape.reversed() { bytes.appendInteger(UInt64(dimension)) }
      bytes.appendInteger(entry.type.rawValue)
      bytes.appendInteger(UInt64(end))
      begins.append(end)
      end += Self.padded(entry.byteCount)
    }
    bytes += [UInt8](repeating: 0, count: Self.padded(bytes.count) - bytes.count)
    let start = bytes.count
    headerBytes = bytes
    offsets = begins.map { start + $0 }
    dataEnd = zip(offsets, entries).reduce(start) { $1.0 + $1.1.byteCount }
    fileByteCount = start + end
  }

  private static func padded(_ byteCount: Int) -> Int {
    byteCount + (alignment - byteCount % alignment) % alignment
  }
}
