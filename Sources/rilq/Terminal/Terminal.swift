import Foundation

/// Standard error: one line for an error, a bar or lines for progress.
enum Terminal {
  /// Whether a person sees standard error.
  static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Writes a line to standard error.
  static func writeError(_ line: String) { write("rilq: \(line)\n") }

  /// Writes text to standard error as it is.
  static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
