import Checkpoints
import Kernels
package import Models

/// The original model's hidden states after the final norm, computed once and kept in a file of floats.
package struct TeacherCache: Sendable {
  private let file: MappedFile
  private let valuesPerWindow: Int

  /// Computes the hidden states of windows.
  ///
  /// - Parameters:
  ///   - teacher: The original model.
  ///   - windows: All of one length.
  ///   - path: The file to make, `[windows, tokens, hidden]`.
  ///   - progress: Told after each window.
  /// - Throws: `ModelError.notFinite`, or `FormatError` when the file cannot be written.
  package init(
    teacher: Transformer, windows: [[Int32]], path: String, progress: ProgressHandler = { _ in }
  ) throws {
    let length = windows.first?.count ?? 0
    let rotary = teacher.rotaryEmbedding(positions: length)
    var output = try OutputFile(creating: path)
    try forEachWindow(windows, atOnce: teacher.windowsAtOnce(length: length)) { window in
      try teacher.finalHidden(window, rotary: rotary)
    } then: { index, hidden in
      guard hidden.values.allSatisfy(\.isFinite) else {
        throw ModelError.notFinite("the original model's hidden state in calibration window \(index)")
      }
      try output.append(narrowed(hidden.values, to: .f32))
      progress(Progress(phase: "teacher", completed: index + 1, total: windows.count))
    }
    valuesPerWindow = length * teacher.configuration.hiddenSize
    file = try MappedFile(path: path)
  }

  /// The hidden states of a window, `[tokens, hidden]`.
  package func hidden(_ window: Int) -> [Float] {
    let byteCount = valuesPerWindow * 4
    return file.withBytes(in: window * byteCount..<(window + 1) * byteCount) { widened($0, from: .f32) }
  }
}
