import Checkpoints
import Foundation
import TestSupport
import Testing

/// The binary itself: the result that `convert` keeps, `report`, `--card`, `verify --junit` and manifests.
@Suite struct ReportCommandTests {
  private static let card = "---\nlicense: mit\n---\n# Original\n"

  private func text(_ name: String, in folder: TemporaryFolder) throws -> String {
    String(decoding: try folder.read(name), as: UTF8.self)
  }

  @Test func `convert keeps what it prints beside a file, and in a folder`() throws {
    let folder = try folderWithModel()
    let pass = ["--pass", "quantize", "--json"]
    let file = try Program(["convert", "model", "o.rilq"] + pass, in: folder).wait()
    #expect(file.code == 0, "\(file.error)")
    #expect(try text("o.rilq.results.json", in: folder) == file.output)
    let other = try Program(["convert", "model", "o"] + pass, in: folder).wait()
    #expect(try text("o/rilq-results.json", in: folder) == other.output)
    // The result is no file of the checkpoint, and is not taken over.
    let hash = try JSONValue(parsing: Array(succeed("hash", "o", "--json", in: folder).output.utf8))
    let files = (hash["files"]?.array ?? []).compactMap { $0["name"]?.string }
    #expect(files.contains("config.json") && !files.contains("rilq-results.json"))
    try succeed("convert", "o", "again", in: folder)
    let first = try JSONValue(parsing: folder.read("again/rilq-results.json"))
    #expect(first["input"]?.string == "o")
  }

  @Test func `report makes a page of an output, and with convert in one step`() throws {
    let folder = try folderWithModel()
    try succeed("convert", "model", "o.rilq", "--pass", "quantize", "--report", "a.html", in: folder)
    try succeed("report", "o.rilq", "--html", "b.html", in: folder)
    let page = try text("a.html", in: folder)
    #expect(try text("b.html", in: folder) == page)
    #expect(page.contains("Codes of the 2-bit weights"))
    try succeed("report", "o.rilq.results.json", "--html", "b.html", "--force", in: folder)
    #expect(try !text("b.html", in: folder).contains("Codes of the 2-bit weights"))
    let again = try Program.run("report", "o.rilq", "--html", "b.html", in: folder)
    #expect(again.code == 4 && again.error.contains("b.html: exists already"))
    let own = try Program.run(
      "report", "o.rilq.results.json", "--html", "./o.rilq.results.json", "--force", in: folder)
    #expect(own.code == 64)
  }

  @Test func `a report that may not be written is found before anything is done`() throws {
    let folder = try folderWithModel()
    try folder.write("a.html", "kept")
    for flag in ["--report", "--card"] {
      let name = flag == "--card" ? "a.md" : "a.html"
      try folder.write(name, "kept")
      let result = try Program.run("convert", "model", "o.rilq", flag, name, in: folder)
      #expect(result.code == 4 && result.error.contains("\(name): exists already"))
      let dry = try Program.run("convert", "model", "o.rilq", flag, "new.md", "--dry-run", in: folder)
      #expect(dry.code == 64)
    }
    #expect(try folder.names() == ["a.html", "a.md", "model"])
  }

  @Test func `a card in an output folder extends the input's`() throws {
    let folder = try folderWithModel()
    try folder.write("model/README.md", Self.card)
    try succeed("convert", "model", "o", "--pass", "quantize", "--card", "o/README.md", in: folder)
    let card = try text("o/README.md", in: folder)
    #expect(card.hasPrefix("---\nlicense: mit\n") && card.contains("# Original\n"))
    #expect(card.contains("## Made with rilq"))
    #expect(try folder.names() == ["model", "o"])
    try succeed("convert", "model", "plain", "--pass", "quantize", in: folder)
    #expect(try text("plain/README.md", in: folder) == Self.card)
  }

  @Test func `a card beside a file takes the input's over, and is kept when it is there`() throws {
    let folder = try folderWithModel()
    try folder.write("model/README.md", Self.card)
    let arguments = ["convert", "model", "o.rilq", "--pass", "quantize", "--card", "card.md"]
    #expect(try Program(arguments, in: folder).wait().code == 0)
    #expect(try text("card.md", in: folder).contains("# Original\n"))
    try folder.write("card.md", "# Mine\n")
    #expect(try Program(arguments + ["--force"], in: folder).wait().code == 0)
    let card = try text("card.md", in: folder)
    #expect(card.contains("# Mine\n") && card.contains("## Made with rilq") && !card.contains("# Original"))
  }

  @Test(arguments: ["card.txt", "o/sub/README.md", "o"])
  func `a card that cannot be meant is refused`(path: String) throws {
    let folder = try folderWithModel()
    let result = try Program.run("convert", "model", "o", "--card", path, in: folder)
    #expect(result.code == 64 && result.error.contains("--card \(path)"))
    #expect(try folder.names() == ["model"])
  }

  @Test func `verify writes JUnit, also when a limit does not hold`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", in: folder)
    let arguments = [
      "verify", "model", "q.rilq", "--text", evaluationText, "--window", "32", "--max-tokens", "64",
      "--continuations", "0", "--max-kl", "1e-9", "--junit", "r.xml",
    ]
    #expect(try Program(arguments, in: folder).wait().code == 1)
    let xml = try text("r.xml", in: folder)
    #expect(xml.contains("failures=\"1\"") && xml.contains("name=\"max_kl\""))
    #expect(try Program(arguments, in: folder).wait().code == 4)
    #expect(try Program(arguments + ["--force"], in: folder).wait().code == 1)
  }

  @Test func `a manifest is written and checked`() throws {
    let folder = try folderWithModel()
    try succeed("hash", "model", "--manifest", "model/manifest", in: folder)
    #expect(try text("model/manifest", in: folder).contains("# content "))
    try succeed("hash", "model", "--check", "model/manifest", in: folder)
    try folder.write("model/new.txt", "1")
    let changed = try Program.run("hash", "model", "--check", "model/manifest", in: folder)
    #expect(changed.code == 1 && changed.output == "DIFFERENT: new.txt is new\n")
    let json = try Program.run("hash", "model", "--check", "model/manifest", "--json", in: folder)
    let document = try JSONValue(parsing: Array(json.output.utf8))
    #expect(document["matches"]?.bool == false)
    #expect(try Program.run("hash", "model", "--check", "abc", in: folder).code == 64)
    #expect(try Program.run("hash", "model", "--manifest", "model/manifest", in: folder).code == 4)
  }
}
