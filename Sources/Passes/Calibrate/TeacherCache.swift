package import Checkpoints
import Kernels
package import Models

/// The original model's hidden states after the final norm.
///
/// They are computed once, layer by layer, and kept in the work folder for all updates and for a resumed run.
///
/// The file is private to one run: floats, `[tokens of all windows, hidden]`, then a digest of their inputs.
package struct TeacherCache: Sendable {
  /// The name of the file in the work folder.
  package static let name = "teacher.f32"
  private let file: MappedFile
  /// The offset of each window's first value, and the total number of values.
  private let offsets: [Int]

  /// Computes the hidden states of windows, unless the file has them already.
  ///
  /// - Parameters:
  ///   - teacher: The original model.
  ///   - checkpoint: The checkpoint of the original model; its layers are read again.
  ///   - windows: The tokens of each window.
  ///   - work: The folder of the file.
  ///   - memoryLimit: The memory limit for windows between two layers, in bytes, if it is below the default.
  ///   - progress: Called after each layer.
  /// - Throws: `ModelError.notFinite`, or `FormatError` when the file cannot be written.
  package init(
    teacher: Transformer, of checkpoint: Checkpoint, windows: [[Int32]], work: WorkFiles,
    memoryLimit: Int? = nil, progress: ProgressHandler = { _ in }
  ) throws {
    let hiddenSize = teacher.configuration.hiddenSize
    offsets = windows.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count * hiddenSize) }
    let path = work.path(Self.name)
    let subject = Self.subject(checkpoint, windows, teacher.operands)
    let byteCount = 4 * offsets[windows.count]
    if let kept = try Self.keptFile(path, byteCount: byteCount, subject) {
      file = kept
      return
    }
    let unfinishedPath = path + ".unfinished"
    var output = try OutputFile(creating: unfinishedPath)
    let blockLimit = min(memoryLimit ?? .max, StreamedTransformer.blockLimit)
    try StreamedTransformer(teacher, of: checkpoint).finalHidden(windows, blockLimit: blockLimit) {
      completed in
      progress(Progress(phase: "teacher", completed: completed, total: windows.count))
    } then: { index, hidden in
      guard hidden.values.allSatisfy(\.isFinite) else {
        let what = "the original model's hidden state in calibration window \(index)"
        throw try teacher.findNotFinite(windows[index]) ?? ModelError.notFinite(what)
      }
      try output.append(narrowed(hidden.values, to: .f32))
    }
    try output.append(subject.bytes)
    try output.sync()
    try FileSystem.rename(unfinishedPath, to: path)
    work.keep(Self.name)
    file = try MappedFile(path: path)
  }

  /// Returns the digest of the model's path, the windows and the precision.
  ///
  /// The run's conditions ensure that the model itself is the same.
  private static func subject(
    _ checkpoint: Checkpoint, _ windows: [[Int32]], _ operands: ProductOperands
  ) -> Digest256 {
    let counts = windows.map { Int32($0.count) }
    let model = "\(checkpoint.path)\0\(operands.onThisProcessor.rawValue)\0"
    let bytes = Array(model.utf8) + (counts + windows.joined()).littleEndianBytes
    return unsafe Digest256(hashing: bytes.span.bytes)
  }

  /// Returns the file of an earlier pass or a stopped run, if it has the requested states.
  private static func keptFile(_ path: String, byteCount: Int, _ subject: Digest256) throws -> MappedFile? {
    guard try FileSystem.kind(of: path) != nil else { return nil }
    let file = try MappedFile(path: path)
    guard file.byteCount == byteCount + subject.bytes.count else { return nil }
    let isSame = file.withBytes(in: byteCount..<file.byteCount) { $0.copiedBytes() == subject.bytes }
    return isSame ? file : nil
  }

  /// Returns the hidden states of a window by its index, `[tokens, hidden]`.
  package func hidden(_ window: Int) -> [Float] {
    file.withBytes(in: 4 * offsets[window]..<4 * offsets[window + 1]) { widened($0, from: .f32) }
  }
}
