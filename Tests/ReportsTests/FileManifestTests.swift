import Checkpoints
import Foundation
import Reports
import TestSupport
import Testing

@Suite struct FileManifestTests {
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("f/a", "abc")
    try folder.write("f/sub/b c", "")
    try folder.write("f/.hidden", "x")
    return folder
  }

  @Test func `a manifest has a line for each file, as sha256sum writes it`() throws {
    let folder = try folder()
    let manifest = try FileManifest(of: folder.path("f"), except: folder.path("f/manifest"))
    #expect(
      manifest.text == """
        # rilq manifest 1
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  sub/b c

        """)
    let path = try folder.write("f/manifest", manifest.text)
    let read = try FileManifest(contentsOf: path)
    #expect(read.entries == manifest.entries)
    #expect(try read.differences(from: FileManifest(of: folder.path("f"), except: path)).isEmpty)
  }

  @Test func `differences are told by name`() throws {
    let folder = try folder()
    let manifest = try FileManifest(of: folder.path("f"), except: "m")
    try folder.write("f/a", "abd")
    try folder.write("f/new", "1")
    try FileManager.default.removeItem(atPath: folder.path("f/sub/b c"))
    let differences = try manifest.differences(from: FileManifest(of: folder.path("f"), except: "m"))
    #expect(differences.map(\.name) == ["a", "new", "sub/b c"])
    #expect(differences.map(\.difference) == [.changed, .new, .missing])
  }

  @Test(arguments: [
    ("", "missing"), ("# rilq manifest 1\n", "missing"), ("abc  a\n", "line 1"),
    ("# x\n" + String(repeating: "0", count: 64) + " a\n", "line 2"),
    (String(repeating: "0", count: 64) + "  \n", "line 1"),
    (String(repeating: String(repeating: "0", count: 64) + "  a\n", count: 2), "repeats"),
  ])
  func `a malformed manifest is refused with its line`(text: String, words: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("m", text)
    let error = #expect(throws: FormatError.self) { try FileManifest(contentsOf: path) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func `a name that no line can hold is refused`() throws {
    let folder = try TemporaryFolder()
    try folder.write("f/a\nb", "")
    #expect(throws: FormatError.self) { try FileManifest(of: folder.path("f"), except: "m") }
  }
}
