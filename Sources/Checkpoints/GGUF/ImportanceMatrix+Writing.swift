import Kernels

extension ImportanceMatrix {
  /// The sums of a tensor, to be written.
  package struct Sums: Sendable {
    /// The name of the tensor in the model's file.
    package let tensor: String
    /// Whether the tensor stacks the matrices of experts.
    package let isStack: Bool
    /// The number of tokens of each matrix.
    package var counts: [Int]
    /// `[matrices, columns]`; 0 for a matrix that no token reached.
    package var values: [Float]

    /// Begins without any token.
    package init(tensor: String, matrixCount: Int, columnCount: Int, isStack: Bool) {
      self.tensor = tensor
      self.isStack = isStack
      counts = [Int](repeating: 0, count: matrixCount)
      values = [Float](repeating: 0, count: matrixCount * columnCount)
    }

    fileprivate var tensors: [(name: String, shape: [Int], values: [Float])] {
      let columnCount = values.count / counts.count
      return [
        (tensor + sumEnding, isStack ? [counts.count, columnCount] : [columnCount], values),
        (tensor + countEnding, isStack ? [counts.count, 1] : [1], counts.map { Float($0) }),
      ]
    }
  }

  /// Writes the GGUF form.
  ///
  /// - Parameters:
  ///   - path: The file; an existing one is replaced.
  ///   - sums: The tensors in the order of writing.
  ///   - datasets: The names of the texts.
  ///   - chunkCount: The number of windows.
  ///   - chunkSize: The number of tokens per window.
  /// - Throws: `FormatError` when it cannot be written.
  package static func write(
    _ path: String, _ sums: [Sums], datasets: [String], chunkCount: Int, chunkSize: Int
  ) throws {
    let tensors = sums.flatMap(\.tensors)
    let layout = GGUFWriterLayout(
      [
        GGUFExportMember(typeKey, .string(fileType)),
        GGUFExportMember(
          "imatrix.datasets", .array(elementType: .string, datasets.map { .string($0) })),
        GGUFExportMember("imatrix.chunk_count", size: chunkCount),
        GGUFExportMember("imatrix.chunk_size", size: chunkSize),
      ],
      tensors.map {
        GGUFWriterLayout.Entry(
          name: $0.name, shape: $0.shape, type: .f32, byteCount: MemoryLayout<Float>.size * $0.values.count)
      })
    var file = try OutputFile(creating: path)
    try file.append(layout.headerBytes)
    for (tensor, offset) in zip(tensors, layout.offsets) {
      try file.append([UInt8](repeating: 0, count: offset - file.byteCount))
      try file.append(narrowed(tensor.values, to: .f32))
    }
    try file.append([UInt8](repeating: 0, count: layout.fileByteCount - file.byteCount))
    try file.sync()
  }
}
