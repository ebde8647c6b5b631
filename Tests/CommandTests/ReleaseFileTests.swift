import Foundation
import TestSupport
import Testing

/// The files beside the program in its packages, which `Scripts/release.sh` makes from what the program says.
@Suite struct ReleaseFileTests {
  @Test(arguments: ["bash", "zsh", "fish"])
  func `the completions of a shell know every command`(shell: String) throws {
    let result = try Program.run("--generate-completion-script", shell, in: TemporaryFolder())
    #expect(result.code == 0)
    for command in try HelpTests.commands() { #expect(result.output.contains(command), "\(command)") }
  }

  @Test(.enabled(if: PythonPeer.has("json")))
  func `every command has a manual page with every option of its help`() throws {
    let folder = try folderWithPages()
    let commands = try HelpTests.commands().filter { $0 != "help" }
    let overview = try page("rilq", in: folder)
    for command in commands {
      #expect(overview.contains("rilq\\-\(command) (1)"))
      let manual = try page("rilq-\(command)", in: folder)
      let help = try Program.run(command, "--help", in: folder).output
      let options = help.matches(of: #/(?m)^\ {2}(?:-[a-z],\ )?(--[a-z0-9-]+)/#).map { String($0.1) }
      #expect(options.contains("--help"))
      for option in options {
        let name = option.replacing("-", with: "\\-")
        #expect(manual.contains("\\fB\(name)\\fR"), "\(command) \(option)")
      }
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("pages"))
    #expect(Set(names) == Set(["rilq.1"] + commands.map { "rilq-\($0).1" }))
  }

  @Test(.enabled(if: PythonPeer.has("json")))
  func `the manual lists the exit codes and states the version`() throws {
    let folder = try folderWithPages()
    let manual = try page("rilq", in: folder)
    for code in [0, 1, 2, 3, 4, 64, 130] { #expect(manual.contains(".TP\n\\fB\(code)\\fR\n"), "\(code)") }
    #expect(manual.contains("\"rilq 1.2.3\""))
  }

  /// Makes the manual of version 1.2.3 in `pages`.
  private func folderWithPages() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let help = try folder.write("help.json", try succeed("--experimental-dump-help", in: folder).output)
    let result = try PythonPeer.runScript("release/man-pages.py", help, "1.2.3", folder.path("pages"))
    #expect(result.code == 0, "\(result.text)")
    return folder
  }

  private func page(_ name: String, in folder: TemporaryFolder) throws -> String {
    String(decoding: try folder.read("pages/\(name).1"), as: UTF8.self)
  }
}
