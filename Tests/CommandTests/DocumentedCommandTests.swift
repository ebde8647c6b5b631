import Foundation
import TestSupport
import Testing

/// The commands in README and guides: what is shown with its output is run, and the rest names only commands and
/// options that are there.
@Suite struct DocumentedCommandTests {
  /// A command and what the document shows below it.
  private struct Shown {
    let command: String
    var output: [String] = []
  }

  private static func documents() throws -> [String] {
    let guides = try FileManager.default.contentsOfDirectory(atPath: Fixtures.root + "/Guides")
    return ["README.md"] + guides.filter { $0.hasSuffix(".md") }.sorted().map { "Guides/" + $0 }
  }

  private static func text(of document: String) throws -> String {
    try String(contentsOfFile: Fixtures.root + "/" + document, encoding: .utf8)
  }

  /// The lines between fences, a line that ends in a backslash joined with the next one.
  private static func fencedLines(_ document: String) throws -> [String] {
    var (lines, isInside) = ([String](), false)
    for line in try text(of: document).replacing(#/\\\n\s*/#, with: "").split(separator: "\n") {
      if line.hasPrefix("```") {
        isInside.toggle()
      } else if isInside {
        lines.append(String(line))
      }
    }
    return lines
  }

  /// The commands after a prompt, each with its output.
  private static func shown(in document: String) throws -> [Shown] {
    var shown: [Shown] = []
    for line in try fencedLines(document) {
      if line.hasPrefix("$ ") {
        shown.append(Shown(command: String(line.dropFirst(2))))
      } else if !shown.isEmpty, !line.hasPrefix("rilq convert "), !line.hasPrefix("rilq merge ") {
        shown[shown.count - 1].output.append(line)
      }
    }
    return shown
  }

  /// Every use of the program in a document, in fences and between backticks, from its name on.
  private static func uses(in document: String) throws -> [[Substring]] {
    let inline = try text(of: document).matches(of: #/`(rilq [^`\n]+)`/#).flatMap { match in
      // `rilq a IN, b IN` are two commands.
      String(match.1).components(separatedBy: ", rilq ").map { $0.hasPrefix("rilq ") ? $0 : "rilq " + $0 }
    }
    let fenced = try fencedLines(document).compactMap { line -> String? in
      let command = line.hasPrefix("$ ") ? String(line.dropFirst(2)) : line
      guard command.hasPrefix("rilq "), !command.hasPrefix("rilq: ") else { return nil }
      return command.components(separatedBy: " #")[0]
    }
    return (inline + fenced).map { $0.split(separator: " ").dropFirst().map { $0 } }
  }

  @Test(arguments: try documents())
  func `names only commands and options that are there`(document: String) throws {
    let folder = try TemporaryFolder()
    var help: [String: String] = [:]
    for words in try Self.uses(in: document) {
      let names = words.prefix { $0.wholeMatch(of: #/[a-z]+,?/#) != nil }
      // `rilq quantize, attach IN OUT` names several.
      let commands = names.count > 1 && names[0].hasSuffix(",") ? Array(names) : Array(words.prefix(1))
      for command in commands.map({ String($0.replacing(",", with: "")) }) where !command.hasPrefix("-") {
        if help[command] == nil {
          let result = try Program(["help", command], in: folder).wait()
          #expect(result.code == 0, "\(document): there is no 'rilq \(command)'")
          help[command] = result.output
        }
        for option in words where option.hasPrefix("--") {
          let name = option.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
          #expect(
            try #require(help[command]).firstMatch(of: Regex("(?m)(^|[ ,/])\(name)\\b")) != nil,
            "\(document): 'rilq \(command)' has no \(name)")
        }
      }
    }
  }

  /// The words of an output, with every number replaced.
  private func skeleton(_ lines: some Sequence<String>) -> [String] {
    lines.map { line in
      line.split(separator: " ").joined(separator: " ").replacing(
        #/-?[0-9][0-9.]*(e[-+]?[0-9]+)?/#, with: "#")
    }
  }

  /// Runs what a document shows, in its order, and compares exit codes and all words but numbers.
  private func expectShown(in document: String, _ folder: TemporaryFolder) throws {
    var code: Int32?
    for shown in try Self.shown(in: document) {
      if shown.command == "echo $?" {
        #expect(shown.output.first == code.map { "\($0)" })
        continue
      }
      guard shown.command.hasPrefix("rilq ") else { continue }
      let arguments = shown.command.split(separator: " ").dropFirst().map(String.init)
      let result = try Program(arguments, in: folder).wait()
      code = result.code
      guard !shown.output.isEmpty else {
        #expect(code == 0, "\(document): \(shown.command): \(result.error)")
        continue
      }
      let said = (result.output + result.error).split(separator: "\n", omittingEmptySubsequences: true)
      #expect(
        skeleton(said.map(String.init)) == skeleton(shown.output), "\(document): \(shown.command)")
    }
  }

  /// A folder in which relative paths of documents lead to copies of the repository's files.
  private func folderOfDocuments() throws -> TemporaryFolder {
    let (folder, files) = (try TemporaryFolder(), FileManager.default)
    for name in ["Fixtures", "out"] {
      try files.createDirectory(atPath: folder.path(name), withIntermediateDirectories: false)
    }
    for name in ["Fixtures/tiny-llama", "Recipes"] {
      try files.copyItem(atPath: Fixtures.root + "/" + name, toPath: folder.path(name))
    }
    return folder
  }

  @Test func `the readme shows what its commands print`() throws {
    try expectShown(in: "README.md", folderOfDocuments())
  }

  @Test func `the guides show what their commands print`() throws {
    let folder = try folderOfDocuments()
    try succeed("quantize", "Fixtures/tiny-llama", "out/quantized.rilq", in: folder)
    // What `how-it-works.md` makes is used by `adapters.md`.
    for document in ["Guides/how-it-works.md", "Guides/adapters.md", "Guides/formats.md"] {
      try expectShown(in: document, folder)
    }
  }

  @Test func `a recipe that was printed is a start for one's own`() throws {
    let folder = try folderOfDocuments()
    let recipe = try succeed("recipes", "balanced", in: folder).output
    try folder.write("my.yaml", recipe)
    try succeed(
      "convert", "Fixtures/tiny-llama", "OUT.rilq", "--recipe", "my.yaml", "--text",
      "Fixtures/tiny-llama/calibration.txt", "--dry-run", in: folder)
  }
}
