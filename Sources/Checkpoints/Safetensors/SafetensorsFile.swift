import Kernels

/// One safetensors file, open for reading.
package struct SafetensorsFile: Sendable {
  /// The header: the tensors and their places.
  package let header: SafetensorsHeader
  private let file: InputFile

  /// The path as given.
  package var path: String { file.path }

  /// Opens a file and validates its header.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - access: Whether it is mapped or read.
  /// - Throws: `FormatError` with the byte and the tensor.
  package init(path: String, access: FileAccess = .mapped) throws {
    let file = try InputFile(path: path, access: access)
    let start = 0..<min(file.byteCount, SafetensorsHeader.startByteCount)
    let end = try file.withBytes(in: start) { bytes throws(FormatError) in
      try SafetensorsHeader.textRange(of: bytes, fileByteCount: file.byteCount, path: path).upperBound
    }
    header = try file.withBytes(in: 0..<end) { bytes throws(FormatError) in
      try SafetensorsHeader(parsing: bytes, fileByteCount: file.byteCount, path: path)
    }
    self.file = file
  }

  /// Writes a file of vectors from memory.
  ///
  /// - Parameters:
  ///   - path: The file; an existing one is replaced.
  ///   - vectors: Names, each once, with values to be stored as F32.
  ///   - format: The value of `format` in `__metadata__`.
  ///   - metadata: Further entries of `__metadata__`.
  /// - Throws: `FormatError` when it cannot be written.
  package static func write(
    _ path: String, vectors: [(name: String, values: [Float])], format: String,
    metadata: [(key: String, value: String)]
  ) throws {
    let tensors = vectors.map { TensorInfo(name: $0.name, dtype: .f32, shape: [$0.values.count]) }
    let output = try SafetensorsOutput(creating: path, tensors, format: format, metadata: metadata)
    for vector in vectors {
      try TensorBytes(narrowed(vector.values, to: .f32)).withSpan { try output.write(vector.name, $0) }
    }
    if vectors.isEmpty { try output.sync() }
  }

  /// The bytes of an entry of the header.
  ///
  /// They are used in place, or copied if the file does not align them for their dtype.
  ///
  /// - Throws: `FormatError` when they cannot be read.
  package func bytes(of entry: SafetensorsHeader.Entry) throws(FormatError) -> TensorBytes {
    let alignment = max(1, entry.tensor.dtype.bitWidth / 8)
    let bytes = try file.bytes(in: entry.range)
    guard entry.range.lowerBound % alignment == 0 else {
      return TensorBytes(bytes.withSpan { $0.copiedBytes() })
    }
    return bytes
  }
}
