import Checkpoints

/// The importance of a linear's inputs, measured on windows.
struct MeasuredImportance: Sendable {
  let module: String
  /// `E[x²]` of each input feature; 1 where too few tokens are known.
  let values: [Float]
  /// The number of tokens of the mean; 0 where too few are known.
  let tokenCount: Int
}

/// The measured importance of all linears, to be written to a file.
///
/// `Formats/importance.md` specifies our file and llama.cpp's.
struct ImportanceOutput {
  private static let stagedName = "importance"
  private static let ggufEnding = ".gguf"
  private let importance: [MeasuredImportance]
  private let windowCount: Int
  private let tokenCount: Int
  private let source: WindowSource

  /// Takes the importance measured on windows.
  init(_ importance: [MeasuredImportance], of windows: [[Int32]], _ source: WindowSource) {
    self.importance = importance
    self.source = source
    windowCount = windows.count
    tokenCount = windows.reduce(0) { $0 + $1.count }
  }

  /// Writes the file and publishes it under its name; the name's ending chooses the format.
  ///
  /// - Parameters:
  ///   - workspace: The workspace of the file.
  ///   - checkpoint: The checkpoint whose linears were measured.
  /// - Throws: `FormatError`, also when a text can no longer be read.
  func publish(in workspace: OutputWorkspace, for checkpoint: Checkpoint) throws {
    let path = workspace.path(Self.stagedName)
    if workspace.target.hasSuffix(Self.ggufEnding) {
      try writeMatrix(path, for: checkpoint, target: workspace.target)
    } else {
      try write(path)
    }
    try workspace.publish(Self.stagedName)
  }

  private func write(_ path: String) throws {
    let digests = try source.texts.map { try Digest256(ofFile: $0).description }
    try SafetensorsFile.write(
      path, vectors: importance.map { ($0.module + ImportanceFile.ending, $0.values) },
      format: ImportanceFile.format,
      metadata: [
        ("version", ImportanceFile.version), ("tokens", "\(tokenCount)"), ("windows", "\(windowCount)"),
        ("sampled", "\(source.sampled)"), ("seed", "\(source.seed)"),
        ("text_sha256", digests.joined(separator: " ")),
      ])
  }

  /// Writes llama.cpp's format.
  private func writeMatrix(_ path: String, for checkpoint: Checkpoint, target: String) throws {
    let model = try GGUFMatrices(of: checkpoint)
    var sums: [String: ImportanceMatrix.Sums] = [:]
    for measured in importance {
      guard let place = model.place(of: measured.module) else {
        throw FormatError(
          target, at: "module '\(measured.module)'", .notExact("a GGUF file has no place for it"))
      }
      let matrices = model.matrices(in: place.tensor)
      var tensor =
        sums[place.tensor]
        ?? ImportanceMatrix.Sums(
          tensor: place.tensor, matrixCount: matrices.count, columnCount: measured.values.count,
          isStack: matrices.count > 1)
      try tensor.set(matrices[place.index], at: place.index, to: measured, target)
      sums[place.tensor] = tensor
    }
    try ImportanceMatrix.write(
      path, sums.values.sorted { precedes($0.tensor, $1.tensor) },
      datasets: source.texts.map { $0.split(separator: "/").last.map(String.init) ?? $0 },
      chunkCount: windowCount, chunkSize: source.length)
  }
}

extension ImportanceMatrix.Sums {
  /// Sets the sums of one matrix; none without a token.
  fileprivate mutating func set(
    _ matrix: GGUFMatrices.Matrix, at index: Int, to measured: MeasuredImportance, _ path: String
  ) throws {
    guard measured.tokenCount > 0 else { return }
    counts[index] = measured.tokenCount
    let squares = matrix.inFile(measured.values).map { Float(Double($0) * Double(measured.tokenCount)) }
    guard squares.allSatisfy(\.isFinite) else {
      throw FormatError(path, at: "tensor '\(tensor)'", .notExact("F32 does not hold its sums of squares"))
    }
    let start = index * squares.count
    values.replaceSubrange(start..<start + squares.count, with: squares)
  }
}
