internal import CSystem
import Foundation

#if canImport(Glibc)
  import Glibc
#endif

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
  /// - Throws: `FormatError.missing` when nothing is there, `.malformed` when it is something else.
  package static func requireRegularFile(_ path: String) throws -> (byteCount: Int, path: String) {
    switch try kind(of: path) {
    case .file(let byteCount): return (byteCount, path)
    case .folder: throw FormatError(path, .malformed("is a folder, not a file"))
    case .other: throw FormatError(path, .malformed("is not a regular file"))
    case nil: throw FormatError(path, .missing("the file"))
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

  /// Makes a folder and those above it.
  package static func createFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw FormatError(path, .system("cannot be created as a folder"))
    }
  }

  /// Removes a file or a folder with all that is in it; nothing there is no error.
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
    guard unsafe Glibc.rename(source, target) == 0 else { throw systemError(target) }
  }

  /// Swaps two paths at once.
  package static func exchange(_ first: String, _ second: String) throws {
    guard unsafe renameat2(AT_FDCWD, first, AT_FDCWD, second, RILQ_RENAME_EXCHANGE) == 0 else {
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

  /// The reason of the last failed system call.
  package static func systemError(_ path: String) -> FormatError {
    FormatError(path, .system(unsafe String(cString: strerror(errno)).lowercasedFirst))
  }

  /// The path with `.`, `..` and links resolved, for comparing; the path itself when it does not exist.
  package static func canonicalPath(_ path: String) -> String {
    URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path(percentEncoded: false)
  }
}

extension String {
  fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
