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
  /// The range of each window's values; nil for windows that are not needed.
  private let ranges: [Range<Int>?]

  /// Computes the hidden states of windows, unless the file has them already.
  ///
  /// - Parameters:
  ///   - teacher: The original model.
  ///   - checkpoint: The checkpoint of the original model; its layers are read again.
  ///   - windows: The tokens of each window.
  ///   - needed: The indices of the windows to compute, in order; nil for all.
  ///   - work: The folder of the file.
  ///   - memoryLimit: The memory limit for windows between two layers, in bytes, if it is below the default.
  ///   - progress: Called after each layer.
  /// - Throws: `ModelError.notFinite`, or `FormatError` when the file cannot be written.
  package init(
    teacher: Transformer, of checkpoint: Checkpoint, windows: [[Int32]], needed: [Int]? = nil,
    work: WorkFiles,
    memoryLimit: Int? = nil, progress: ProgressHandler = { _ in }
  ) throws {
    let hiddenSize = teacher.configuration.hiddenSize
    let needed = needed ?? Array(windows.indices)
    var ranges = [Range<Int>?](repeating: nil, count: windows.count)
    var valueCount = 0
    for index in needed {
      let end = valueCount + windows[index].count * hiddenSize
      ranges[index] = valueCount..<end
      valueCount = end
    }
    self.ranges = ranges
    let path = work.path(Self.name)
    let own = needed.map { windows[$0] }
    let subject = Self.subject(checkpoint, own, teacher.operands)
    let byteCount = 4 * valueCount
    if let kept = try Self.keptFile(path, byteCount: byteCount, subject) {
      file = kept
      return
    }
    let unfinishedPath = path + ".unfinished"
    var output = try OutputFile(creating: unfinishedPath)
    let blockLimit = min(memoryLimit ?? .max, StreamedTransformer.blockLimit)
    let model = try StreamedTransformer(teacher, of: checkpoint)
    try model.finalHidden(own, blockLimit: blockLimit) { completed in
      progress(Progress(phase: "teacher", completed: completed, total: own.count))
    } then: { index, hidden in
      guard hidden.values.allSatisfy(\.isFinite) else {
        let what = "the original model's hidden state in calibration window \(needed[index])"
        throw try teacher.findNotFinite(own[index]) ?? ModelError.notFinite(what)
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

  /// Returns the hidden states of a window by its index, `[tokens, hidden]`; one of those that are needed.
  package func hidden(_ window: Int) -> [Float] {
    guard let range = ranges[window] else { preconditionFailure("window \(window) was not computed") }
    return file.withBytes(in: 4 * range.lowerBound..<4 * range.upperBound) { widened($0, from: .f32) }
  }
}
