/// The places of the tensors in a safetensors file, known before any of them is written.
///
/// Tensors are sorted by the width of their dtype, widest first, then by name; so each one is aligned for its
/// dtype without gaps.
struct SafetensorsLayout {
  /// The length field, the header's JSON, and spaces up to a multiple of 8 bytes.
  let headerBytes: [UInt8]
  /// Where each tensor begins, from the start of the file.
  let offsets: [String: Int]
  /// The size of the whole file.
  let fileByteCount: Int

  /// Lays out a file.
  ///
  /// - Parameters:
  ///   - tensors: The tensors, with distinct names.
  ///   - metadata: The entries of `__metadata__`, in order.
  ///   - path: The file for errors.
  /// - Throws: `FormatError` when the header is longer than readers accept.
  init(_ tensors: [TensorInfo], metadata: [(key: String, value: String)], path: String) throws(FormatError) {
    let sorted = tensors.sorted {
      $0.dtype.bitWidth != $1.dtype.bitWidth
        ? $0.dtype.bitWidth > $1.dtype.bitWidth : precedes($0.name, $1.name)
    }
    var members = [
      JSONValue.Member("__metadata__", .object(metadata.map { JSONValue.Member($0.key, .string($0.value)) }))
    ]
    var end = 0
    var begins: [String: Int] = [:]
    for tensor in sorted {
      begins[tensor.name] = end
      members.append(JSONValue.Member(tensor.name, Self.entry(tensor, at: end)))
      end += tensor.byteCount
    }
    headerBytes = try Self.headerBytes(.object(members), path)
    let dataOffset = headerBytes.count
    offsets = begins.mapValues { $0 + dataOffset }
    fileByteCount = dataOffset + end
  }

  private static func entry(_ tensor: TensorInfo, at begin: Int) -> JSONValue {
    .object([
      JSONValue.Member("dtype", .string(tensor.dtype.rawValue)),
      JSONValue.Member("shape", .array(tensor.shape.map(JSONValue.integer))),
      JSONValue.Member("data_offsets", .array([.integer(begin), .integer(begin + tensor.byteCount)])),
    ])
  }

  private static func headerBytes(_ header: JSONValue, _ path: String) throws(FormatError) -> [UInt8] {
    var text = Array(header.compactText.utf8)
    text += [UInt8](repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    guard text.count <= SafetensorsHeader.byteCountLimit else {
      throw FormatError(
        path,
        .unsupported("its header has \(text.count) bytes, the limit is \(SafetensorsHeader.byteCountLimit)"))
    }
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
  }
}
