import ArgumentParser
import Checkpoints
import Kernels
import Models

/// The options of every command.
struct GlobalOptions: ParsableArguments {
  @Flag(help: "Print one JSON document on standard output and nothing else.")
  var json = false

  @Flag(name: .shortAndLong, help: "Show no progress.")
  var quiet = false

  @Option(help: "How many threads to use (default: all cores).")
  var threads: Int?

  @Flag(
    name: .customLong("no-mmap"),
    help: "Read files into memory instead of mapping them, for file systems where they may change or vanish.")
  var noMap = false

  /// How checkpoints are opened.
  var access: FileAccess { noMap ? .read : .mapped }

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
  }

  /// Applies the settings to the process; every command calls this first.
  ///
  /// - Returns: The display of progress.
  func start() -> ProgressDisplay {
    if let threads = threads ?? ProcessJob.threads { ThreadLimit.current = threads }
    return ProgressDisplay(isQuiet: quiet || !ProcessJob.isFirst)
  }

  /// Prints remarks about checkpoints to standard error, each sentence once.
  ///
  /// - Returns: The sentences, for the key `notices` of a document.
  @discardableResult
  func tellNotices(of checkpoints: Checkpoint...) -> [String] {
    var notices: [String] = []
    for checkpoint in checkpoints {
      for notice in checkpoint.notices.map({ "\(checkpoint.path): \($0)" }) where !notices.contains(notice) {
        notices.append(notice)
        if ProcessJob.isFirst { Terminal.writeError("notice: \(notice.escapedForDisplay)") }
      }
    }
    return notices
  }

  /// Prints a result as a JSON document or as text; of several processes only the first one does.
  func show(_ document: JSONValue, text: @autoclosure () -> String) {
    guard ProcessJob.isFirst else { return }
    print(json ? document.prettyText : text())
  }
}

extension JSONValue {
  /// Adds the key `notices` if there are any.
  mutating func set(notices: [String]) {
    guard !notices.isEmpty else { return }
    set("notices", to: .array(notices.map { .string($0) }))
  }
}
