import Checkpoints
import Foundation
import TestSupport
import Testing

/// What must come of a command on a file or folder that `Scripts/make-invalid.py` made.
struct Expectation: Sendable, CustomTestStringConvertible {
  /// The file or folder, below its catalogue.
  let name: String
  let code: Int32
  /// Pieces of the line on standard error, or of the output when the command must succeed.
  let pieces: [String]
  private let catalogue: String
  private let command: [String]
  /// The folder whose files this one completes or replaces.
  private let over: String?
  private let without: [String]
  /// What the file refers to.
  private let beside: [String]

  var testDescription: String { name }

  /// The table of a folder of fixtures.
  static func all(in catalogue: String) throws -> [Expectation] {
    let table = try JSONValue(contentsOf: Fixtures.path(catalogue + "/expected.json"))
    return try #require(table.array).map { try Expectation($0, catalogue) }
  }

  private init(_ entry: JSONValue, _ catalogue: String) throws {
    func texts(_ key: String) -> [String] { entry[key]?.array?.compactMap(\.string) ?? [] }
    self.catalogue = catalogue
    name = try #require(entry["name"]?.string)
    code = Int32(try #require(entry["code"]?.integer))
    pieces = texts("says")
    command = texts("command")
    over = entry["over"]?.string
    without = texts("without")
    beside = texts("beside")
  }

  /// Copies what is needed into a folder and runs the command there.
  func run(in folder: TemporaryFolder) throws -> Program.Result {
    for name in beside { try copy(name, to: name, in: folder) }
    try place(in: folder)
    try folder.write(
      "text.txt", String(repeating: "the quick brown fox jumps over the lazy dog in the night ", count: 9))
    let before = try folder.contents()
    let arguments = command.map {
      $0.replacing("$FILE", with: name).replacing("$OUT", with: "out").replacing("$TEXT", with: "text.txt")
    }
    let result = try Program(arguments + ["--quiet"], in: folder).wait()
    #expect(try folder.contents() == before, "\(name) leaves something behind")
    return result
  }

  private func place(in folder: TemporaryFolder) throws {
    guard let over else { return try copy(name, to: name, in: folder) }
    let files = FileManager.default
    for part in try files.contentsOfDirectory(atPath: Fixtures.path("\(catalogue)/\(over)"))
    where !without.contains(part) {
      try copy("\(over)/\(part)", to: "\(name)/\(part)", in: folder)
    }
    for part in try files.contentsOfDirectory(atPath: Fixtures.path("\(catalogue)/\(name)")) {
      try? files.removeItem(atPath: folder.path("\(name)/\(part)"))
      try copy("\(name)/\(part)", to: "\(name)/\(part)", in: folder)
    }
  }

  private func copy(_ source: String, to target: String, in folder: TemporaryFolder) throws {
    let url = URL(filePath: folder.path(target))
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: Fixtures.path("\(catalogue)/\(source)"), toPath: url.path(percentEncoded: false))
  }
}

extension TemporaryFolder {
  /// Every file and folder in it, the files with their bytes.
  func contents() throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
      files[name] = FileManager.default.contents(atPath: path(name)) ?? Data()
    }
    return files
  }
}
