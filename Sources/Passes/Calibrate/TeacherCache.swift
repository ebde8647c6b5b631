package import Checkpoints
import Kernels
package import Models

/// The original model's hidden states after the final norm, computed once, layer by layer, and kept in a file of floats.
package struct TeacherCache: Sendable {
  private let file: MappedFile
  /// The first value of each window, and the number of all.
  private let offsets: [Int]

  /// Computes the hidden states of windows.
  ///
  /// - Parameters:
  ///   - teacher: The original model.
  ///   - checkpoint: What it was read from, and is read from again.
  ///   - windows: The tokens of each.
  ///   - path: The file to make, `[tokens of all windows, hidden]`.
  ///   - memoryLimit: The bytes that windows may take between two layers, where that is less than they take without a limit.
  ///   - progress: Told after each layer.
  /// - Throws: `ModelError.notFinite`, or `FormatError` when the file cannot be written.
  package init(
    teacher: Transformer, of checkpoint: Checkpoint, windows: [[Int32]], path: String,
    memoryLimit: Int? = nil, progress: ProgressHandler = { _ in }
  ) throws {
    let hiddenSize = teacher.configuration.hiddenSize
    var output = try OutputFile(creating: path)
    let blockLimit = min(memoryLimit ?? .max, StreamedTransformer.blockLimit)
    try StreamedTransformer(teacher, of: checkpoint).finalHidden(windows, blockLimit: blockLimit) {
      completed in
      progress(Progress(phase: "teacher", completed: completed, total: windows.count))
    } then: { index, hidden in
      guard hidden.values.allSatisfy(\.isFinite) else {
        throw ModelError.notFinite("the original model's hidden state in calibration window \(index)")
      }
      try output.append(narrowed(hidden.values, to: .f32))
    }
    offsets = windows.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count * hiddenSize) }
    file = try MappedFile(path: path)
  }

  /// The hidden states of a window by its number, `[tokens, hidden]`.
  package func hidden(_ window: Int) -> [Float] {
    file.withBytes(in: 4 * offsets[window]..<4 * offsets[window + 1]) { widened($0, from: .f32) }
  }
}
