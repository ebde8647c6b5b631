import Checkpoints
import Kernels
import Models

/// Windows that the original model generates.
///
/// They are kept in the work folder, so that a run and its resumption generate each window only once.
///
/// A window begins with the begin token and is sampled at temperature 1. After a token that ends a text,
/// another text begins. Window `n` depends only on the model, the seed, the length, the precision of
/// products, and `n`.
///
/// The file is private to one run: a line of JSON that describes its contents, then the tokens, `I32`, window
/// by window.
struct SampledWindows {
  /// The name of the file in the work folder.
  static let name = "sampled.tokens"
  private let source: WindowSource
  private let original: Checkpoint
  private let work: WorkFiles
  private let progress: ProgressHandler

  init(
    _ source: WindowSource, original: Checkpoint, _ work: WorkFiles, progress: @escaping ProgressHandler
  ) {
    self.source = source
    self.original = original
    self.work = work
    self.progress = progress
  }

  private var path: String { work.path(Self.name) }

  /// Returns the windows, read from the file if it has them.
  ///
  /// - Throws: `ModelError` when the model has no begin token or its context is too short; `FormatError`.
  func windows() throws -> [[Int32]] {
    let count = source.sampledCount
    if let known = try keptWindows(), known.count >= count { return Array(known.prefix(count)) }
    let windows = try Self.write(source, original: original, progress: progress)
    try keep(windows)
    return windows
  }

  /// Generates all windows.
  ///
  /// - Throws: The errors of `windows`.
  static func write(
    _ source: WindowSource, original: Checkpoint, progress: @escaping ProgressHandler
  ) throws -> [[Int32]] {
    let boundaries = try TextBoundaries(of: original)
    guard let begin = boundaries.beginToken else {
      throw ModelError.noToken(path: original.path, "token that begins a text, which 'sampled' needs")
    }
    var model = try Transformer(original)
    model.operands = source.products
    return try model.samples(
      source.sampledCount,
      SampleShape(
        beginToken: begin, endTokens: boundaries.endTokens, length: source.length, ending: .goesOn),
      sampling: SamplingOptions(seed: source.seed), progress: progress)
  }

  private func header(count: Int) -> [UInt8] {
    let members: [JSONValue.Member] = [
      .init("model", .string(original.path)), .init("seed", .seed(source.seed)),
      .init("length", .integer(source.length)),
      .init("products", .string(source.products.onThisProcessor.rawValue)),
      .init("windows", .integer(count)),
    ]
    return Array((JSONValue.object(members).compactText + "\n").utf8)
  }

  /// Returns the windows of an earlier pass, if they match the requested ones.
  private func keptWindows() throws -> [[Int32]]? {
    guard try FileSystem.kind(of: path) != nil else { return nil }
    let bytes = try InputFile.contents(of: path)
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")),
      let count = (try? JSONValue(parsing: Array(bytes[..<end])))?["windows"]?.integer,
      Array(bytes[...end]) == header(count: count)
    else { return nil }
    let tokens = Array(bytes[(end + 1)...]).int32s
    guard tokens.count == count * source.length else { return nil }
    return stride(from: 0, to: count * source.length, by: source.length).map {
      Array(tokens[$0..<$0 + source.length])
    }
  }

  private func keep(_ windows: [[Int32]]) throws {
    let unfinishedPath = path + ".unfinished"
    var file = try OutputFile(creating: unfinishedPath)
    try file.append(header(count: windows.count))
    for window in windows { try file.append(window.littleEndianBytes) }
    try file.sync()
    try FileSystem.rename(unfinishedPath, to: path)
    work.keep(Self.name)
  }
}
