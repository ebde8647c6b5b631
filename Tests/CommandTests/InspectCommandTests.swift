import Checkpoints
import Foundation
import TestSupport
import Testing

/// The binary itself, run for the commands that only look: inspect, diff and hash.
@Suite struct InspectCommandTests {
  private let model = Fixtures.path("tiny-llama")
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs the program beside these tests, and returns its exit code and standard output.
  private func rilq(_ arguments: String...) throws -> (code: Int32, output: String) {
    let process = Process()
    process.executableURL = try Self.program()
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: folder.path)
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
  }

  private static func program() throws -> URL {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let folders = [
      URL(filePath: own).deletingLastPathComponent(), URL(filePath: Fixtures.root + "/.build/release"),
      URL(filePath: Fixtures.root + "/.build/debug"),
    ]
    let candidates = folders.map { $0.appending(path: "rilq") }
    return try #require(
      candidates.first { FileManager.default.isExecutableFile(atPath: $0.path(percentEncoded: false)) })
  }

  @Test func `inspect prints one JSON document`() throws {
    let result = try rilq("inspect", model, "--json")
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(result.code == 0)
    #expect(document["parameters"]?.integer == 1_049_728)
    #expect(document["tensors"]?.array?.count == 39)
  }

  @Test func `inspect prints a tree`() throws {
    let result = try rilq("inspect", model)
    #expect(result.code == 0)
    #expect(result.output.contains("model.layers.0-3 (4 alike)"))
  }

  @Test func `inspect ends with 64 when a pattern matches nothing`() throws {
    #expect(try rilq("inspect", model, "--tensors", "nothing").code == 64)
  }

  @Test func `diff ends with 0 for equal and with 1 for different checkpoints`() throws {
    #expect(try rilq("convert", model, "copy.rilq").code == 0)
    #expect(try rilq("quantize", model, "quantized.rilq").code == 0)
    #expect(try rilq("diff", model, "copy.rilq", "--files").code == 0)
    #expect(try rilq("diff", model, "quantized.rilq").code == 1)
    #expect(try rilq("diff", model, "quantized.rilq", "--tolerance", "0.6").code == 0)
    #expect(try rilq("diff", model, "missing.rilq").code == 4)
  }

  @Test func `hash checks what it prints`() throws {
    let digest = try rilq("hash", model).output.prefix(64)
    #expect(try rilq("hash", model, "--check", String(digest)).code == 0)
    #expect(try rilq("hash", model, "--check", String(repeating: "0", count: 64)).code == 1)
    #expect(try rilq("hash", model, "--check", "0").code == 64)
  }
}
