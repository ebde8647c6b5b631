import Checkpoints
import Kernels
package import Models

/// The original model's hidden states after the final norm, computed once and kept in a file of floats.
package struct TeacherCache: Sendable {
  private let file: MappedFile
  /// The first value of each window, and the number of all.
  private let offsets: [Int]

  /// Computes the hidden states of windows.
  ///
  /// - Parameters:
  ///   - teacher: The original model.
  ///   - windows: The tokens of each.
  ///   - path: The file to make, `[tokens of all windows, hidden]`.
  ///   - progress: Told after each window.
  /// - Throws: `ModelError.notFinite`, or `FormatError` when the file cannot be written.
  package init(
    teacher: Transformer, windows: [[Int32]], path: String, progress: ProgressHandler = { _ in }
  ) throws {
    let length = windows.lazy.map(\.count).max() ?? 0
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
    offsets = windows.reduce(into: [0]) {
      $0.append($0[$0.count - 1] + $1.count * teacher.configuration.hiddenSize)
    }
    file = try MappedFile(path: path)
  }

  /// The hidden states of a window by its number, `[tokens, hidden]`.
  package func hidden(_ window: Int) -> [Float] {
    file.withBytes(in: 4 * offsets[window]..<4 * offsets[window + 1]) { widened($0, from: .f32) }
  }
}
