internal import CSystem
import Foundation

/// System calls on paths, with their errors translated where they occur.
package enum FileSystem {
  /// What a path refers to, links followed.
  package enum Kind: Equatable {
    case file(byteCount: Int)
    case folder
    case other
  }

  /// What is at a path, or nil when nothing is.
  package static func kind(of path: String) throws -> Kind? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw systemError(path)
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file(byteCount: Int(status.st_size))
    case S_IFDIR: return .folder
    default: return .other
    }
  }

  /// Checks that a path is a regular file.
  ///
  /// - Returns: Its size.
  /// - Throws: `FormatError.missing` when nothing is there, `.malformed` when it is something else.
  @discardableResult
  package static func requireRegularFile(_ path: String) throws -> Int {
    switch try kind(of: path) {
    case .file(let byteCount): return byteCount
    case .folder: throw FormatError(path, .malformed("is a folder, not a file"))
    case .other: throw FormatError(path, .malformed("is not a regular file"))
    case nil: throw FormatError(path, .notFound("the file"))
    }
  }

  /// The names in a folder, sorted by their bytes.
  package static func names(in folder: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder).sorted {
        $0.utf8.lexicographicallyPrecedes($1.utf8)
      }
    } catch {
      throw FormatError(folder, .system("cannot be listed"))
    }
  }

  /// Whether a name is that of an entry directly inside a folder, not a path.
  package static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
  }

  /// The path of a name in a folder.
  package static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// Whether a path is relative and stays below its folder, component by component.
  package static func isPlainRelativePath(_ path: String) -> Bool {
    path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isPlainName(String($0)) }
  }

  /// The lower-case ending of a name after its last dot, or nothing.
  package static func fileExtension(_ name: String) -> String {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return "" }
    return name[name.index(after: dot)...].lowercased()
  }

  /// Whether a path itself is a symbolic link.
  package static func isLink(_ path: String) throws -> Bool {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { throw systemError(path) }
    return status.st_mode & S_IFMT == S_IFLNK
  }

  /// The path of an entry in a folder; links must not lead out of the folder.
  ///
  /// In a snapshot of the Hugging Face cache, links may lead anywhere in the folder of that model, which
  /// holds the files of its snapshots.
  ///
  /// - Throws: `FormatError` when the entry is a link that leaves the folder, or does not exist.
  package static func pathInside(_ folder: String, _ name: String) throws -> String {
    let path = join(folder, name)
    guard try isLink(path) else { return path }
    guard let target = resolvedPath(path) else { throw FormatError(path, .missing("what the link leads to")) }
    guard let root = resolvedPath(folder).map(linkRoot), target == root || isBelow(target, root) else {
      throw FormatError(
        path, .unsupported("is a link that leaves the folder; a copy of the file is needed there"))
    }
    return path
  }

  /// The folder that links in a folder may lead into.
  ///
  /// - Parameter folder: A path with links resolved.
  /// - Returns: `…/models--ORG--NAME` for `…/models--ORG--NAME/snapshots/REVISION` and what is below;
  ///   otherwise the folder itself.
  static func linkRoot(of folder: String) -> String {
    let parts = folder.split(separator: "/", omittingEmptySubsequences: false)
    let root = parts.indices.last { i in
      parts[i].hasPrefix("models--") && i + 2 < parts.count && parts[i + 1] == "snapshots"
    }
    return root.map { parts[...$0].joined(separator: "/") } ?? folder
  }

  /// Whether a path with links resolved is in a folder with links resolved, at any depth.
  package static func isBelow(_ path: String, _ folder: String) -> Bool {
    path.hasPrefix(join(folder, ""))
  }

  /// The absolute path with `.`, `..` and links resolved, or nil when it does not exist.
  package static func resolvedPath(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// Makes a folder and those above it.
  package static func createFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw FormatError(path, .system("cannot be created as a folder"))
    }
  }

  /// Removes a file, or a folder with all its contents; a path with nothing there is not an error.
  package static func remove(_ path: String) throws {
    guard (try? FileManager.default.attributesOfItem(atPath: path)) != nil else { return }
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      throw FormatError(path, .system("cannot be removed"))
    }
  }

  /// Renames within a file system, replacing a file at the target.
  package static func rename(_ source: String, to target: String) throws {
    guard unsafe Foundation.rename(source, target) == 0 else { throw systemError(target) }
  }

  /// Swaps two paths at once.
  package static func exchange(_ first: String, _ second: String) throws {
    guard unsafe rilq_exchange(first, second) == 0 else {
      throw systemError(second)
    }
  }

  /// Makes a file's or folder's contents survive a power failure.
  package static func sync(_ path: String) throws {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError(path) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw systemError(path) }
  }

  /// Makes a file, or a folder with all its contents, survive a power failure.
  package static func syncTree(_ path: String) throws {
    if try kind(of: path) == .folder {
      for name in try names(in: path) { try syncTree(path + "/" + name) }
    }
    try sync(path)
  }

  /// The regular files below a folder except hidden ones, as relative paths, sorted; linked folders are not
  /// entered.
  package static func files(below folder: String) throws -> [String] {
    try names(in: folder).flatMap { name -> [String] in
      let path = join(folder, name)
      guard !name.hasPrefix(".") else { return [] }
      switch try kind(of: path) {
      case .file: return [name]
      case .folder where try !isLink(path): return try files(below: path).map { name + "/" + $0 }
      default: return []
      }
    }
  }

  /// Whether an open file is still the one at a path.
  package static func isSameFile(_ descriptor: Int32, _ path: String) -> Bool {
    var (opened, named) = (stat(), stat())
    guard unsafe fstat(descriptor, &opened) == 0, unsafe stat(path, &named) == 0 else { return false }
    return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino
  }

  /// The error of the last failed system call.
  package static func systemError(_ path: String) -> FormatError {
    FormatError(path, .system(unsafe String(cString: strerror(errno)).lowercasedFirst))
  }
}

extension stat {
  /// The time of the last change of the contents, since 1970.
  var modificationTime: timespec {
    #if canImport(Darwin)
      return st_mtimespec
    #else
      return st_mtim
    #endif
  }
}

extension String {
  fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
