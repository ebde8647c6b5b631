import Checkpoints
import Kernels

/// The finished steps of a run, stored beside their files in the work folder, so that a stopped run can be
/// resumed.
///
/// The file `journal` is private to one version of the program: JSON, one document per line. The first line
/// has the run's `RunConditions`. Each further line describes a step: its `index` and `name`, its `file` in
/// the work folder if it wrote one, the `identities` of that file or of the files below that folder, the
/// `bytes` written, the `seconds` it took, the process's peak `memory` and its `report`. A line is added after
/// the step's file is on disk under its name, and is on disk itself before the next step begins. A line that is
/// incomplete, or that does not match its files, ends the journal.
final class RunJournal {
  /// A finished step.
  struct Step {
    let name: String
    /// The name of the step's file or folder in the work folder; nil when the step wrote none.
    let file: String?
    /// The number of bytes written.
    let bytes: Int
    let seconds: Double
    /// The step's report: an object.
    let report: JSONValue
    /// The maximum memory of the process up to the end of the step, in bytes.
    var memory: Int?
  }

  private static let name = "journal"
  private static let unfinishedName = "journal.unfinished"
  /// The files that steps share and a resumed run reuses.
  private static let sharedNames = [SampledWindows.name, TeacherCache.name]

  /// The finished steps of the earlier run.
  private(set) var finished: [Step]
  private let workspace: OutputWorkspace
  private let resumes: Bool
  /// Whether the steps of this run are for a later one.
  private let keepsSteps: Bool
  private var keptNames: Set<String>
  private var stepCount: Int
  private var file: OutputFile

  /// Takes over the finished steps of an earlier run, or begins anew; other files in the work folder are
  /// removed.
  ///
  /// - Parameters:
  ///   - workspace: The folder of the journal and the steps' files.
  ///   - conditions: Everything that the output depends on.
  ///   - resumes: Whether to take over finished steps, and to keep them when this run is stopped.
  ///   - group: The processes of the run. Only rank 0 keeps steps; the others get its files.
  /// - Throws: `PassError.usage` when the earlier run has other conditions; the folder is then unchanged.
  init(
    in workspace: OutputWorkspace, _ conditions: RunConditions, resumes: Bool,
    sharedOver group: any ProcessGroup = SingleProcess()
  ) throws {
    let lines = resumes && group.isFirst ? Self.lines(of: workspace.path(Self.name)) : []
    if let first = lines.first, let change = conditions.change(since: first) {
      throw PassError.usage("--resume: \(change); without --resume the run begins anew")
    }
    let entries = lines.dropFirst().enumerated().prefix { index, line in
      line["index"]?.integer == index && Self.isIntact(line, in: workspace)
    }.map(\.element)
    finished = entries.compactMap(Step.init)
    keptNames = Set(finished.compactMap(\.file))
    let stateName = Self.stateName(of: finished.count)
    let shared = try lines.isEmpty ? [] : Self.sharedNames.filter(workspace.has)
    let hasState = try resumes && workspace.has(stateName)
    keptNames.formUnion(shared)
    try workspace.keepOnly(
      keptNames.union([Self.name, stateName]),
      whenDiscarded: !finished.isEmpty || hasState || !shared.isEmpty)
    self.workspace = workspace
    self.resumes = resumes
    keepsSteps = resumes && group.isFirst
    stepCount = finished.count
    // Written anew, so that no incomplete line stays in the middle.
    file = try OutputFile(creating: workspace.path(Self.unfinishedName))
    for line in [conditions.json] + entries { try file.append(Array((line.compactText + "\n").utf8)) }
    try workspace.complete(Self.unfinishedName, as: Self.name)
    keptNames.insert(Self.name)
    if resumes, group.count > 1 { try share(over: group) }
  }

  /// The maximum number of bytes of a file that travel at once.
  private static let pieceByteCount = 8 << 20

  /// Gives the finished steps of rank 0, and the files that a resumed run reads, to the other ranks.
  private func share(over group: any ProcessGroup) throws {
    let names = group.isFirst ? try sharedFiles() : []
    let list = JSONValue.object([
      .init("steps", .array(finished.enumerated().map { $1.json(index: $0, identities: nil) })),
      .init("files", .array(names.map { .string($0) })),
    ])
    let text = try group.gather(group.isFirst ? list.compactText : "")[0]
    let sizes = try group.gather(names.map { Double(try FileSystem.requireRegularFile(path($0))) })[0]
    let received = try JSONValue(parsing: Array(text.utf8))
    finished = (received["steps"]?.array ?? []).compactMap(Step.init)
    stepCount = finished.count
    for (name, size) in zip((received["files"]?.array ?? []).compactMap(\.string), sizes) {
      try share(name, byteCount: Int(size), over: group)
    }
  }

  /// Returns the files of finished steps, the state of the next step and generated windows.
  ///
  /// Every rank computes its own part of the original's hidden states.
  private func sharedFiles() throws -> [String] {
    let names = try keptNames.union([Self.stateName(of: finished.count)]).filter {
      try $0 != Self.name && $0 != TeacherCache.name && workspace.has($0)
    }
    return try names.sorted().flatMap { name in
      guard try FileSystem.kind(of: workspace.path(name)) == .folder else { return [name] }
      return try FileSystem.files(below: workspace.path(name)).map { name + "/" + $0 }
    }
  }

  /// Gives a file of rank 0 to the other ranks.
  private func share(_ name: String, byteCount: Int, over group: any ProcessGroup) throws {
    let path = path(name)
    if group.isFirst {
      let file = try InputFile(path: path, access: .read)
      for piece in Self.pieces(of: byteCount) {
        var bytes = try file.bytes(in: piece).withSpan { $0.copiedBytes() }
        try group.broadcast(&bytes, from: 0)
      }
    } else {
      if let slash = path.lastIndex(of: "/") { try FileSystem.createFolder(String(path[..<slash])) }
      var file = try OutputFile(creating: path)
      for piece in Self.pieces(of: byteCount) {
        var bytes = [UInt8](repeating: 0, count: piece.count)
        try group.broadcast(&bytes, from: 0)
        try file.append(bytes)
      }
    }
  }

  private static func pieces(of byteCount: Int) -> [Range<Int>] {
    stride(from: 0, to: byteCount, by: pieceByteCount).map { $0..<min($0 + pieceByteCount, byteCount) }
  }

  /// Returns the path of something in the work folder, or below a folder there.
  private func path(_ name: String) -> String {
    let parts = name.split(separator: "/", maxSplits: 1)
    return workspace.path(String(parts[0])) + parts.dropFirst().map { "/" + $0 }.joined()
  }

  /// Adds a step whose file is on disk under its final name.
  func add(_ step: Step) throws {
    let identities = try step.file.map { try Self.identities(of: $0, in: workspace) }
    let line = step.json(index: stepCount, identities: identities)
    try file.append(Array((line.compactText + "\n").utf8))
    try file.sync()
    stepCount += 1
    if let name = step.file { keptNames.insert(name) }
    if keepsSteps { workspace.keep(keptNames) }
  }

  /// Keeps a complete shared file for a resumed run.
  func keep(_ name: String) {
    precondition(Self.sharedNames.contains(name), "'\(name)' would not be found again")
    keptNames.insert(name)
    if keepsSteps { workspace.keep(keptNames) }
  }

  /// Returns the file where the pass of a step can save its state; nil when the run cannot be resumed.
  func state(of index: Int) -> PassState? {
    guard resumes else { return nil }
    let name = Self.stateName(of: index)
    return PassState(path: workspace.path(name)) { [self] in workspace.keep(keptNames.union([name])) }
  }

  private static func stateName(of index: Int) -> String { "state-\(index)" }

  /// Returns the complete lines that are JSON; none when there is no journal.
  private static func lines(of path: String) -> [JSONValue] {
    guard let contents = try? InputFile.contents(of: path), let end = contents.lastIndex(of: newline) else {
      return []
    }
    var lines: [JSONValue] = []
    for line in contents[..<end].split(separator: newline, omittingEmptySubsequences: false) {
      guard let value = try? JSONValue(parsing: Array(line)) else { break }
      lines.append(value)
    }
    return lines
  }

  private static let newline = UInt8(ascii: "\n")

  /// Whether a line's file is the one that was written.
  private static func isIntact(_ line: JSONValue, in workspace: OutputWorkspace) -> Bool {
    guard let step = Step(line) else { return false }
    guard let name = step.file else { return true }
    guard FileSystem.isPlainName(name), let identities = try? identities(of: name, in: workspace) else {
      return false
    }
    return line["identities"] == identities
  }

  /// Returns the identity of a file, or of each file below a folder by name.
  private static func identities(of name: String, in workspace: OutputWorkspace) throws -> JSONValue {
    let path = workspace.path(name)
    guard try FileSystem.kind(of: path) == .folder else { return try FileIdentity(of: path).json }
    return .object(
      try FileSystem.files(below: path).map { file in
        JSONValue.Member(file, try FileIdentity(of: path + "/" + file).json)
      })
  }
}

extension OutputWorkspace {
  fileprivate func has(_ name: String) throws -> Bool { try FileSystem.kind(of: path(name)) != nil }
}

extension RunJournal.Step {
  fileprivate func json(index: Int, identities: JSONValue?) -> JSONValue {
    .object([
      JSONValue.Member("index", .integer(index)), JSONValue.Member("name", .string(name)),
      JSONValue.Member("file", file.map(JSONValue.string) ?? .null),
      JSONValue.Member("identities", identities ?? .null), JSONValue.Member("bytes", .integer(bytes)),
      JSONValue.Member("seconds", .double(seconds)), JSONValue.Member("report", report),
      JSONValue.Member("memory", .optional(memory, JSONValue.integer)),
    ])
  }

  /// Reads a line; nil when a member is missing.
  fileprivate init?(_ line: JSONValue) {
    guard let name = line["name"]?.string, let bytes = line["bytes"]?.integer,
      let seconds = line["seconds"]?.double, let report = line["report"], report.object != nil
    else { return nil }
    self.init(
      name: name, file: line["file"]?.string, bytes: bytes, seconds: seconds, report: report,
      memory: line["memory"]?.integer)
  }
}
