import Foundation
import Synchronization

/// Makes an output appear at its target whole or not at all.
///
/// Work happens in the hidden folder `.<name>.partial` beside the target, which holds a lock. Publishing
/// renames the finished file or folder to the target. A killed run leaves such a folder; the next run takes
/// over its contents or removes them.
package final class OutputWorkspace {
  private static let lockName = "lock"
  /// The folders of all workspaces of this process, each with the names that survive discarding it.
  private static let liveFolders = Mutex<[String: Set<String>]>([:])

  /// Stops a thread that asks for a path after all workspaces were discarded; nil until then.
  private static let latecomer = Mutex<(@Sendable () -> Never)?>(nil)

  /// Discards every workspace of this process, which is about to end.
  ///
  /// - Parameter stop: From now on, `path(_:)` calls this on its thread, because nothing new may appear in a
  ///   folder that is being cleared.
  /// - Returns: Whether something was kept.
  package static func discardAll(stopping stop: @escaping @Sendable () -> Never) -> Bool {
    latecomer.withLock { $0 = stop }
    return liveFolders.withLock { folders in
      // Another thread may have got its path just before; a second try removes what appeared during the
      // first.
      for pause: UInt32 in [0, 20_000] {
        usleep(pause)
        for (folder, kept) in folders { clear(folder, keeping: kept) }
      }
      return !folders.values.allSatisfy(\.isEmpty)
    }
  }

  /// The target as given.
  package let target: String
  private let resolvedTarget: String
  private let parent: String
  private let folder: String
  private let mayReplace: Bool
  private var lock: Int32?

  /// Checks the target and makes the folder beside it.
  ///
  /// - Parameters:
  ///   - target: The file or folder to be made.
  ///   - force: Whether an existing target may be replaced.
  ///   - inputs: Paths that are read; the target must not be one of them, contain one or be inside one.
  ///   - rank: The number of this process among those that make the target together. Only rank 0 publishes;
  ///     the others have folders of their own, `.<name>.partial.rank-<rank>`.
  ///   - keepsLeftovers: Whether leftovers of an earlier run are kept, even if this workspace is discarded,
  ///     until `keepOnly` changes that.
  /// - Throws: `FormatError` with the reason; nothing was changed then.
  package init(
    target: String, force: Bool, inputs: [String], rank: Int = 0, keepsLeftovers: Bool = false
  ) throws {
    let place = try OutputPlace(target)
    self.target = target
    mayReplace = force
    resolvedTarget = place.path
    parent = place.parent
    folder = place.workFolder(ofRank: rank)
    try place.refuseInputs(inputs)
    try Self.checkReplaceable(place, target, force: force)
    guard unsafe access(parent, W_OK | X_OK) == 0 else { throw FileSystem.systemError(parent) }
    lock = try Self.lock(folder, target)
    let leftovers = keepsLeftovers ? Set(try FileSystem.names(in: folder)).subtracting([Self.lockName]) : []
    Self.liveFolders.withLock { $0[folder] = leftovers }
    if !keepsLeftovers { try remove(except: []) }
  }

  deinit { discard() }

  /// Whether an earlier run left its work folder beside a target.
  package static func isLeft(besides target: String) -> Bool {
    guard let place = try? OutputPlace(target) else { return false }
    return (try? FileSystem.kind(of: place.workFolder(ofRank: 0))) == .folder
  }

  /// The path of something in the workspace.
  package func path(_ name: String) -> String {
    precondition(FileSystem.isPlainName(name) && name != Self.lockName, "'\(name)' is not a name")
    if let stop = Self.latecomer.withLock({ $0 }) { stop() }
    return folder + "/" + name
  }

  /// The path that a user knows: paths in the workspace become the target or paths inside it.
  package func publicPath(of path: String) -> String {
    guard path == folder || path.hasPrefix(folder + "/") else { return path }
    let parts = path.dropFirst(folder.count + 1).split(separator: "/", maxSplits: 1)
    return parts.count > 1 ? "\(target)/\(parts[1])" : target
  }

  /// Removes everything except these names now, and sets whether they survive discarding the workspace.
  package func keepOnly(_ names: Set<String>, whenDiscarded: Bool) throws {
    try remove(except: names)
    keep(whenDiscarded ? names : [])
  }

  /// Sets the names that survive discarding the workspace, for a later run.
  package func keep(_ names: Set<String>) {
    Self.liveFolders.withLock { $0[folder] = names }
  }

  /// Syncs a finished file or folder to disk, then gives it its name in the workspace.
  ///
  /// - Parameters:
  ///   - name: The name in the workspace of a file or folder.
  ///   - newName: A name that no folder has.
  /// - Throws: `FormatError` when it fails.
  package func complete(_ name: String, as newName: String) throws {
    try FileSystem.syncTree(path(name))
    try FileSystem.rename(path(name), to: path(newName))
    try FileSystem.sync(folder)
  }

  /// Syncs the output to disk, moves it to the target, and removes the workspace.
  ///
  /// - Parameter stagedName: The name in the workspace of the file or folder.
  /// - Throws: `FormatError` when it fails; the target is then as it was.
  package func publish(_ stagedName: String) throws {
    let staged = path(stagedName)
    try FileSystem.syncTree(staged)
    try FileSystem.sync(folder)
    switch (try FileSystem.kind(of: staged), try FileSystem.kind(of: resolvedTarget)) {
    case (_, nil), (.file, .file):
      if !mayReplace { try checkAbsent() }
      try FileSystem.rename(staged, to: resolvedTarget)
    default:
      if !mayReplace { try checkAbsent() }
      // The old folder gets the staged path and is removed with the workspace.
      try FileSystem.exchange(staged, resolvedTarget)
    }
    keep([])
    try FileSystem.sync(parent)
    discard()
    removeLeftoversOfOtherRanks()
  }

  /// Removes the folders of ranks that were killed; those of running ranks are locked.
  private func removeLeftoversOfOtherRanks() {
    for folder in (try? OutputPlace(target).foldersOfOtherRanks) ?? [] {
      guard let lock = try? Self.lock(folder, target) else { continue }
      Self.clear(folder, keeping: [])
      close(lock)
    }
  }

  /// Removes the workspace and its contents, except for the names to keep.
  package func discard() {
    guard let lock else { return }
    Self.liveFolders.withLock { folders in
      Self.clear(folder, keeping: folders.removeValue(forKey: folder) ?? [])
    }
    close(lock)
    self.lock = nil
  }

  /// Removes everything that is not kept; the next run removes what cannot be removed now.
  private static func clear(_ folder: String, keeping kept: Set<String>) {
    guard !kept.isEmpty else {
      try? FileSystem.remove(folder)
      return
    }
    for name in (try? FileSystem.names(in: folder)) ?? [] where name != lockName && !kept.contains(name) {
      try? FileSystem.remove(folder + "/" + name)
    }
  }

  private func checkAbsent() throws {
    guard try FileSystem.kind(of: resolvedTarget) == nil else { throw FormatError(target, .exists) }
  }

  private static func checkReplaceable(_ place: OutputPlace, _ target: String, force: Bool) throws {
    guard let kind = try FileSystem.kind(of: place.path) else { return }
    guard force else { throw FormatError(target, .exists) }
    switch kind {
    case .file: return
    case .other: throw FormatError(target, .unsupported("is neither a file nor a folder"))
    case .folder:
      let names = try FileSystem.names(in: place.path)
      let isCheckpoint = names.contains { FileSystem.fileExtension($0) == "safetensors" }
      guard names.isEmpty || isCheckpoint else {
        throw FormatError(target, .unsupported("is a folder without a checkpoint, which is not replaced"))
      }
    }
  }

  private func remove(except names: Set<String>) throws {
    for name in try FileSystem.names(in: folder) where name != Self.lockName && !names.contains(name) {
      try FileSystem.remove(folder + "/" + name)
    }
  }

  /// Makes the folder, or takes over one that no running process has locked.
  private static func lock(_ folder: String, _ target: String) throws -> Int32 {
    // The former holder of the lock may remove the folder between two of these steps; it is then made anew.
    for _ in 0..<100 {
      guard unsafe mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw FileSystem.systemError(folder) }
      guard try !FileSystem.isLink(folder) else {
        throw FormatError(folder, .unsupported("is a link where the work folder should be"))
      }
      let lockPath = folder + "/" + lockName
      let descriptor = unsafe open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
      if descriptor < 0 && errno == ENOENT { continue }
      guard descriptor >= 0 else { throw FileSystem.systemError(lockPath) }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw FormatError(target, .system("another run is writing here"))
      }
      if FileSystem.isSameFile(descriptor, lockPath) { return descriptor }
      close(descriptor)
    }
    throw FormatError(target, .system("another run is writing here"))
  }
}

/// Where an output goes, with links resolved.
private struct OutputPlace {
  let path: String
  let parent: String
  let name: String
  private let given: String

  func workFolder(ofRank rank: Int) -> String {
    FileSystem.join(parent, ".\(name).partial" + (rank == 0 ? "" : ".rank-\(rank)"))
  }

  /// The work folders of other ranks than 0 that are there.
  var foldersOfOtherRanks: [String] {
    let names = (try? FileSystem.names(in: parent)) ?? []
    let prefix = ".\(name).partial.rank-"
    return names.filter { $0.hasPrefix(prefix) && Int($0.dropFirst(prefix.count)) != nil }.map {
      FileSystem.join(parent, $0)
    }
  }

  init(_ target: String) throws(FormatError) {
    var trimmed = Substring(target)
    while trimmed.utf8.count > 1, trimmed.utf8.last == UInt8(ascii: "/") { trimmed.removeLast() }
    given = target
    if let resolved = FileSystem.resolvedPath(String(trimmed)) {
      (parent, name) = Self.split(Substring(resolved))
    } else {
      let (folder, last) = Self.split(trimmed)
      guard let resolved = FileSystem.resolvedPath(folder) else {
        throw FormatError(target, .notFound("the folder '\(folder)'"))
      }
      (parent, name) = (resolved, last)
    }
    guard FileSystem.isPlainName(name) else {
      throw FormatError(target, .malformed("is not the name of an output"))
    }
    path = FileSystem.join(parent, name)
  }

  private static func split(_ path: Substring) -> (parent: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", String(path)) }
    let parent = path[..<slash]
    return (parent.isEmpty ? "/" : String(parent), String(path[path.index(after: slash)...]))
  }

  /// Refuses to write over, into or around an input.
  func refuseInputs(_ inputs: [String]) throws(FormatError) {
    for input in inputs {
      guard let resolved = FileSystem.resolvedPath(input) else { continue }
      if resolved == path { throw FormatError(given, .unsupported("is the input itself")) }
      if FileSystem.isBelow(resolved, path) {
        throw FormatError(given, .unsupported("holds the input '\(input)'"))
      }
      if FileSystem.isBelow(path, resolved) {
        throw FormatError(given, .unsupported("is inside the input '\(input)'"))
      }
    }
  }
}
