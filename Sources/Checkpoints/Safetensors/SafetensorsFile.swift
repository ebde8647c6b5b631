/// One safetensors file, mapped.
package struct SafetensorsFile: Sendable {
  /// What is in it.
  package let header: SafetensorsHeader
  private let file: MappedFile

  /// The path as it was given.
  package var path: String { file.path }

  /// Maps a file and validates its header.
  ///
  /// - Throws: `FormatError` with the byte and the tensor.
  package init(path: String) throws {
    file = try MappedFile(path: path)
    header = try file.withBytes(in: 0..<file.byteCount) { bytes throws(FormatError) in
      try SafetensorsHeader(parsing: bytes, path: path)
    }
  }

  /// The bytes of an entry of the header.
  ///
  /// They are used in place, or copied when the file does not align them for their dtype.
  package func bytes(of entry: SafetensorsHeader.Entry) -> TensorBytes {
    let alignment = max(1, entry.tensor.dtype.bitWidth / 8)
    guard entry.range.lowerBound % alignment == 0 else {
      return TensorBytes(file.withBytes(in: entry.range) { $0.copiedBytes() })
    }
    return TensorBytes(file, range: entry.range)
  }
}
