/// A safetensors file that is being written, its tensors in any order.
final class SafetensorsOutput {
  /// The size of the whole file.
  let byteCount: Int
  private let file: OutputFile
  private var offsets: [String: Int]

  /// Whether every tensor was written.
  var isComplete: Bool { offsets.isEmpty }

  /// Creates the file and writes its header.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - tensors: All its tensors.
  ///   - format: The value of `format` in `__metadata__`.
  ///   - metadata: Further entries of `__metadata__`.
  /// - Throws: `FormatError` when it cannot be written.
  init(
    creating path: String, _ tensors: [TensorInfo], format: String,
    metadata: [(key: String, value: String)] = []
  ) throws {
    let layout = try SafetensorsLayout(tensors, metadata: [("format", format)] + metadata, path: path)
    offsets = layout.offsets
    byteCount = layout.fileByteCount
    var file = try OutputFile(creating: path)
    try file.append(layout.headerBytes)
    self.file = file
  }

  /// Writes a tensor to its place, and waits for the disk after the last one.
  func write(_ name: String, _ bytes: RawSpan) throws {
    guard let offset = offsets.removeValue(forKey: name) else {
      preconditionFailure("tensor '\(name)' was written already or not announced")
    }
    try file.write(bytes, at: offset)
    if isComplete { try file.sync() }
  }

  /// Waits for the disk; needed for a file without tensors.
  func sync() throws { try file.sync() }
}
