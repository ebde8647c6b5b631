import Foundation

extension PathOption {
  /// Rewrites the path so that it names the same file from a recipe in another folder.
  ///
  /// Works on names only: `a/../b` becomes `b`, even if `a` is a symbolic link.
  func moved(to folder: String) -> PathOption {
    guard !written.hasPrefix("/"), PathOption(written, in: folder) != self else { return self }
    let from = Self.components(of: folder.isEmpty ? "." : folder)
    let to = Self.components(of: resolved)
    let commonCount = zip(from, to).prefix { $0 == $1 }.count
    let relative = from[commonCount...].map { _ in ".." } + to[commonCount...]
    return PathOption(relative.isEmpty ? "." : relative.joined(separator: "/"), in: folder)
  }

  private static func components(of path: String) -> [String] {
    URL(filePath: path).standardizedFileURL.pathComponents
  }
}
