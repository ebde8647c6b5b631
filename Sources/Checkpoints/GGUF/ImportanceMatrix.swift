import Kernels

/// An importance file of llama.cpp ("imatrix"): the sums over tokens of the squares of each input feature.
///
/// There are two forms, a GGUF file and an older one; `Formats/importance.md` has both.
package struct ImportanceMatrix: Sendable {
  /// The sums of a tensor of a model's GGUF file: those of one matrix, or of a stack of matrices.
  package struct Entry: Sendable {
    /// The name of the tensor in the model's file: `blk.0.attn_q.weight`.
    package let tensor: String
    /// The sums in this file, for errors: `tensor 'blk.0.attn_q.weight.in_sum2'`.
    package let place: String
    /// The bytes of the sums, F32.
    let range: Range<Int>
    /// What the sums are divided by, a whole number for each matrix, or one for all.
    package let counts: [Float]

    /// The number of sums.
    package var valueCount: Int { range.count / MemoryLayout<Float>.size }
  }

  private enum Form {
    case gguf
    case older
  }

  static let sumEnding = ".in_sum2"
  static let countEnding = ".counts"
  static let typeKey = "general.type"
  static let fileType = "imatrix"

  /// The tensors in the order of their names.
  package let entries: [Entry]
  /// The number of layers that predict further tokens, after those of the model.
  private let extraLayerCount: Int
  private let file: InputFile
  private let form: Form

  /// The path as given.
  package var path: String { file.path }

  /// Opens a file; nil if its first bytes are those of neither form.
  ///
  /// - Throws: `FormatError` with the byte, the key or the tensor.
  package init?(path: String) throws {
    try self.init(of: try InputFile(path: path, access: .mapped))
  }

  /// Reads the names and places of all sums; nil if the first bytes are those of neither form.
  ///
  /// - Throws: `FormatError` with the byte, the key or the tensor.
  package init?(of file: InputFile) throws(FormatError) {
    guard let form = try Self.form(of: file) else { return nil }
    switch form {
    case .gguf:
      let header = try GGUFHeader(of: file)
      extraLayerCount = try Self.extraLayerCount(header.metadata, file.path)
      entries = try Self.entries(header, of: file)
    case .older:
      entries = try OlderImportanceMatrix(of: file).entries
      extraLayerCount = 0
    }
    self.file = file
    self.form = form
  }

  private static func form(of file: InputFile) throws(FormatError) -> Form? {
    let byteCount = min(file.byteCount, OlderImportanceMatrix.startByteCount)
    return try file.withBytes(in: 0..<byteCount) { start in
      if start.starts(with: GGUFHeader.magic) { return .gguf }
      return OlderImportanceMatrix.isStart(start) ? .older : nil
    }
  }

  /// Checks that the metadata are those of such a file.
  private static func extraLayerCount(_ metadata: GGUFMetadata, _ path: String) throws(FormatError) -> Int {
    let keys = GGUFKeys(metadata: metadata, path: path)
    guard let type = try keys.string(typeKey) else { throw FormatError(path, .missing("key '\(typeKey)'")) }
    guard type == fileType else {
      throw keys.error(typeKey, .unsupportedKind("'\(type)'", supported: ["'\(fileType)'"]))
    }
    return try keys.integer("imatrix.n_layer_nextn") ?? 0
  }

  private static func entries(
    _ header: GGUFHeader, of file: InputFile
  ) throws(FormatError) -> [Entry] {
    var sums: [String: GGUFHeader.Entry] = [:]
    var counts: [String: GGUFHeader.Entry] = [:]
    for entry in header.entries {
      if entry.name.hasSuffix(sumEnding) {
        sums[String(entry.name.dropLast(sumEnding.count))] = entry
      } else if entry.name.hasSuffix(countEnding) {
        counts[String(entry.name.dropLast(countEnding.count))] = entry
      }
    }
    var entries: [Entry] = []
    for tensor in Set(sums.keys).union(counts.keys).sorted(by: precedes) {
      guard let sum = sums[tensor] else {
        throw FormatError(file.path, .missing("tensor '\(tensor)\(sumEnding)'"))
      }
      guard let count = counts[tensor] else {
        throw FormatError(file.path, .missing("tensor '\(tensor)\(countEnding)'"))
      }
      try requireF32(sum, file.path)
      entries.append(
        Entry(
          tensor: tensor, place: "tensor '\(sum.name)'", range: sum.range,
          counts: try values(of: count, in: file)))
    }
    return entries
  }

  private static func requireF32(_ entry: GGUFHeader.Entry, _ path: String) throws(FormatError) {
    guard entry.type == .f32, entry.elementCount > 0 else {
      throw FormatError(
        path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'",
        .malformed("is \(entry.type.name) \(entry.shape), expected F32 values"))
    }
  }

  /// Reads the numbers of tokens.
  private static func values(
    of entry: GGUFHeader.Entry, in file: InputFile
  ) throws(FormatError) -> [Float] {
    try requireF32(entry, file.path)
    let counts = try file.withBytes(in: entry.range) { widened($0, from: .f32) }
    if let index = counts.firstIndex(where: { !$0.isFinite || $0 < 0 }) {
      throw FormatError(
        file.path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'",
        .malformed("count \(index) is \(counts[index]), expected a number of tokens"))
    }
    return counts.map { $0.rounded() }
  }

  /// Whether a tensor belongs to the layers that predict further tokens.
  ///
  /// - Parameters:
  ///   - tensor: The name of the tensor in the model's file.
  ///   - layerCount: The number of layers of the model.
  /// - Returns: Whether no layer of the model has it, and the file says so.
  package func isBeyond(_ tensor: String, layerCount: Int) -> Bool {
    let parts = tensor.split(separator: ".", maxSplits: 2)
    if parts.first == "nextn" { return true }
    guard parts.count == 3, parts[0] == "blk", let layer = Int(parts[1]), layer >= layerCount else {
      return false
    }
    return layer - layerCount < extraLayerCount
  }

  /// The mean squares of a tensor's input features.
  ///
  /// - Returns: `[matrices, columns]`; 1 for a matrix that no token reached.
  /// - Throws: `FormatError` for a sum that is negative or not finite.
  package func means(of entry: Entry) throws(FormatError) -> [Float] {
    // The older form does not align them.
    let sums = widened(try file.withBytes(in: entry.range) { $0.copiedBytes() }, from: .f32)
    if let index = sums.firstIndex(where: { !$0.isFinite || $0 < 0 }) {
      throw FormatError(
        path, byte: entry.range.lowerBound, at: entry.place,
        .malformed("value \(index) is \(sums[index]), expected a number of at least 0"))
    }
    let columnCount = max(1, sums.count / entry.counts.count)
    return sums.enumerated().map { index, sum in
      let count = entry.counts[min(index / columnCount, entry.counts.count - 1)]
      guard count > 0 else { return form == .older ? sum : 1 }
      return sum / count
    }
  }
}
