import Foundation

/// Files that a run writes beside its output at paths that the user names: logs, recipes, images.
package enum SideFile {
  /// Checks that a file may be written at a path; nothing but a regular file is ever replaced.
  ///
  /// - Parameters:
  ///   - path: The file to be written.
  ///   - mayReplace: Whether an existing file may be replaced.
  /// - Throws: `FormatError` when something else is there, or a file that must not be replaced.
  package static func requirePlace(at path: String, mayReplace: Bool) throws {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else {
      guard errno == ENOENT else { throw FileSystem.systemError(path) }
      return try requireFolder(of: path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FormatError(path, .system("is there and is not a regular file; only files are replaced"))
    }
    guard mayReplace else { throw FormatError(path, .exists) }
  }

  /// Checks that the folder exists that a file is to be written into.
  ///
  /// - Parameter path: The file.
  /// - Throws: `FormatError` when there is no such folder.
  package static func requireFolder(of path: String) throws {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return }
    let folder = slash == path.startIndex ? "/" : String(path[..<slash])
    guard try FileSystem.kind(of: folder) == .folder else {
      throw FormatError(path, .system("cannot be written, there is no folder '\(folder)'"))
    }
  }

  /// Writes a text; at any time the path has the old file or the whole new one.
  ///
  /// - Parameters:
  ///   - text: The contents, UTF-8.
  ///   - path: The file to be written.
  ///   - mayReplace: Whether an existing file may be replaced.
  /// - Throws: As `requirePlace`, or when writing fails.
  package static func write(_ text: String, to path: String, mayReplace: Bool) throws {
    try requirePlace(at: path, mayReplace: mayReplace)
    let unfinished = path + ".unfinished"
    try requirePlace(at: unfinished, mayReplace: true)
    do {
      var file = try OutputFile(creating: unfinished)
      try file.append(Array(text.utf8))
      try file.sync()
      try FileSystem.rename(unfinished, to: path)
    } catch let error as FormatError {
      try? FileSystem.remove(unfinished)
      throw FormatError(path, error.problem)
    }
  }
}
