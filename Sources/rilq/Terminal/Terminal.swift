import Foundation

/// Standard error for errors and progress, and standard output for generated text.
enum Terminal {
  /// Whether standard error is a terminal.
  static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Writes a line to standard error.
  static func writeError(_ line: String) { write("rilq: \(line)\n") }

  /// Writes text to standard error without a line break.
  static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// Writes text to standard output at once; on a terminal, control characters are replaced.
  static func show(_ text: String) {
    let shown =
      isatty(STDOUT_FILENO) == 1 ? String(String.UnicodeScalarView(text.unicodeScalars.map(\.shown))) : text
    FileHandle.standardOutput.write(Data(shown.utf8))
  }
}

extension Unicode.Scalar {
  /// The character, or U+FFFD for a control character.
  fileprivate var shown: Unicode.Scalar {
    guard properties.generalCategory == .control, self != "\n", self != "\t" else { return self }
    return "\u{FFFD}"
  }
}
