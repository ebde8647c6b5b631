import Foundation

/// Standard error: one line for an error, a bar or lines for progress; and text that a model writes.
enum Terminal {
  /// Whether a person sees standard error.
  static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Writes a line to standard error.
  static func writeError(_ line: String) { write("rilq: \(line)\n") }

  /// Writes text to standard error as it is.
  static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// Shows a part of a text on standard output at once; to a person without control characters.
  static func show(_ text: String) {
    let shown =
      isatty(STDOUT_FILENO) == 1 ? String(String.UnicodeScalarView(text.unicodeScalars.map(\.shown))) : text
    FileHandle.standardOutput.write(Data(shown.utf8))
  }
}

extension Unicode.Scalar {
  /// The character, or U+FFFD for one that would control the terminal.
  fileprivate var shown: Unicode.Scalar {
    guard properties.generalCategory == .control, self != "\n", self != "\t" else { return self }
    return "\u{FFFD}"
  }
}
