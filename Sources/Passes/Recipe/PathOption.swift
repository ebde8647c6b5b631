/// A path as somebody wrote it, and where it leads.
public struct PathOption: Sendable, Equatable {
  /// The text in the recipe or argument; this is what is recorded in an output.
  public let written: String
  /// The path to open, relative to the current folder or absolute.
  public let resolved: String

  /// A path relative to a folder.
  ///
  /// - Parameters:
  ///   - written: The path; absolute ones stay as they are.
  ///   - folder: What a relative path starts from; empty for the current folder.
  public init(_ written: String, in folder: String = "") {
    self.written = written
    resolved = written.hasPrefix("/") ? written : folder.appendingComponent(written)
  }
}

extension String {
  /// The folder of this path; empty when it has none.
  var folderOfPath: String {
    guard let slash = lastIndex(of: "/") else { return "" }
    return slash == startIndex ? "/" : String(self[..<slash])
  }

  fileprivate func appendingComponent(_ component: String) -> String {
    if isEmpty { return component }
    return hasSuffix("/") ? self + component : self + "/" + component
  }
}
