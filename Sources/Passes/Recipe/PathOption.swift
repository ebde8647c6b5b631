/// A path as it was written, and the path to open.
public struct PathOption: Sendable, Equatable {
  /// The text in the recipe or argument, which the output records.
  public let written: String
  /// The path to open, relative to the current folder or absolute.
  public let resolved: String

  /// Resolves a path relative to a folder.
  ///
  /// - Parameters:
  ///   - written: The path; absolute paths do not change.
  ///   - folder: The base of relative paths; empty for the current folder.
  public init(_ written: String, in folder: String = "") {
    self.written = written
    resolved = written.hasPrefix("/") ? written : folder.appendingComponent(written)
  }
}

extension String {
  /// The folder of this path; empty if it has none.
  var folderOfPath: String {
    guard let slash = lastIndex(of: "/") else { return "" }
    return slash == startIndex ? "/" : String(self[..<slash])
  }

  fileprivate func appendingComponent(_ component: String) -> String {
    if isEmpty { return component }
    return hasSuffix("/") ? self + component : self + "/" + component
  }
}
