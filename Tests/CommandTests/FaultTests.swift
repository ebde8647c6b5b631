import Checkpoints
import Foundation
import TestSupport
import Testing

/// What happens when disks, folders and files fail under the program.
@Suite struct FaultTests {
  /// Whether this process may mount something, which it does where nobody else sees it.
  private static let canMount: Bool = {
    guard let folder = try? TemporaryFolder(),
      let program = try? Program(
        [], in: folder, script: "unshare -m mount -t tmpfs tmpfs '\(folder.path)' 2>/dev/null")
    else { return false }
    return (try? program.wait().code) == 0
  }()

  /// Runs a script in which a small disk is mounted on the folder `disk`.
  private func run(_ script: String, disk options: String, in folder: TemporaryFolder) throws
    -> Program.Result
  {
    try FileManager.default.createDirectory(atPath: folder.path("disk"), withIntermediateDirectories: true)
    try folder.write("script", "mount -t tmpfs -o \(options) tmpfs disk || exit 99\n" + script + "\n")
    return try Program([], in: folder, script: "unshare -m sh script \"$0\"").wait()
  }

  @Test(.enabled(if: canMount, "mounting a small disk needs root"))
  func `a full disk is exit code 4, and nothing is left on it`() throws {
    let result = try run(
      "\"$1\" convert model disk/out.rilq --quiet; code=$?; ls -A disk; exit $code", disk: "size=512k",
      in: try folderWithFixture())
    #expect(result.code == 4)
    #expect(result.error == "rilq: disk/out.rilq: no space left on device\n")
    #expect(result.output.isEmpty)
  }

  @Test(.enabled(if: canMount, "mounting a small disk needs root"))
  func `after a full disk it goes on with --resume to the same bytes`() throws {
    let folder = try folderWithFixture()
    try folder.write(
      "r.yaml", "input: model\noutput: disk/out.rilq\npasses:\n  - quantize: {}\n  - attach: {kind: pooled}\n"
    )
    // The first step has about a megabyte, the output as much again.
    let result = try run(
      """
      "$1" convert r.yaml --quiet --resume --compression none; echo $?
      mount -o remount,size=64m disk
      "$1" convert r.yaml --quiet --resume --compression none --json; echo $?
      mv disk/out.rilq first; "$1" convert r.yaml --quiet --compression none; cmp first disk/out.rilq && ls -A disk
      """, disk: "size=1500k", in: folder)
    #expect(result.output.hasPrefix("4\n"), "\(result)")
    #expect(result.error.hasPrefix("rilq: finished steps are kept for --resume\n"), "\(result)")
    #expect(result.output.contains("\"resumed\": true"))
    #expect(result.output.hasSuffix("\nout.rilq\nout.rilq.results.json\n"), "\(result)")
  }

  @Test(.enabled(if: canMount, "mounting a small disk needs root"))
  func `a full disk while the log is written is exit code 4, and --resume goes on`() throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder, updates: 10)
    let result = try run(
      """
      head -c 8192 /dev/zero >disk/filler; : >disk/log
      "$1" convert recipe.yaml --quiet --resume --log disk/log; echo $?
      rm disk/filler
      "$1" convert recipe.yaml --quiet --resume --log disk/log; echo $?
      cp disk/log log
      """, disk: "size=8k", in: folder)
    #expect(result.output.hasPrefix("4\n") && result.output.hasSuffix("\n0\n"), "\(result)")
    #expect(result.error.contains("disk/log: no space left on device"))
    #expect(result.error.contains("finished steps are kept for --resume"))
    let lines = try folder.read("log").split(separator: UInt8(ascii: "\n"))
    #expect(try lines.map { try JSONValue(parsing: Array($0))["update"]?.integer } == Array(0...10))
  }

  @Test func `a file that may not grow is exit code 4, and nothing is left`() throws {
    let folder = try folderWithFixture()
    let result = try Program(
      ["convert", "model", "out.rilq", "--quiet", "--compression", "none"], in: folder,
      script: "ulimit -f 400; exec \"$0\" \"$@\""
    ).wait()
    #expect(result.code == 4)
    #expect(result.error == "rilq: out.rilq: file too large\n")
    #expect(try folder.names() == ["model"])
  }

  @Test(arguments: [("out", "out/model.safetensors"), ("out.gguf", "out.gguf")])
  func `an error names the output, not the file that is to become it`(output: String, named: String) throws {
    let folder = try folderWithFixture()
    let result = try Program(
      ["convert", "model", output, "--quiet"], in: folder,
      script: "ulimit -f 400; exec \"$0\" \"$@\""
    ).wait()
    #expect(result.code == 4)
    #expect(result.error == "rilq: \(named): file too large\n")
  }

  @Test func `a folder that cannot be written to is exit code 4`() throws {
    let folder = try folderWithModel()
    let result: Program.Result
    if Self.canMount {
      // Permissions do not stop root.
      result = try run("\"$1\" quantize model disk/out.rilq --quiet", disk: "ro", in: folder)
    } else {
      try FileManager.default.createDirectory(
        atPath: folder.path("disk"), withIntermediateDirectories: true,
        attributes: [.posixPermissions: 0o555])
      result = try Program.run("quantize", "model", "disk/out.rilq", "--quiet", in: folder)
    }
    #expect(result.code == 4)
    #expect(
      result.error.hasSuffix("/disk: read-only file system\n")
        || result.error.hasSuffix("/disk: permission denied\n"), "\(result.error)")
  }

  @Test(arguments: [
    (["--no-mmap"], "ends here, it was shortened while it was read"),
    ([], "a mapped file was shortened or could not be read"),
  ])
  func `an input that is shortened meanwhile is exit code 4`(flags: [String], reason: String) throws {
    let folder = try folderWithFixture()
    try folder.write("text.txt", try Array(Data(contentsOf: URL(filePath: calibrationText))))
    try folder.write(
      "r.yaml",
      """
      input: model
      output: out.rilq
      passes:
        - quantize: {}
        - calibrate: {text: text.txt, samples: 16, length: 64, updates: 2, validation: 0, learning_rate: 2e-3}
        - verify: {text: text.txt, window: 64, max_tokens: 512, against: input, max_mean_kl: 1}

      """)
    let program = try Program(
      ["convert", "r.yaml", "--quiet"] + flags, in: folder, stoppingAfter: "calibrate:1")
    try program.waitUntilStopped()
    // Verification reads it after this.
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path("model"))
    where name.hasSuffix(".safetensors") { #expect(truncate(folder.path("model/" + name), 4096) == 0) }
    program.send(SIGCONT)
    let result = try program.wait()
    #expect(result.code == 4)
    #expect(result.error.hasPrefix("rilq: ") && result.error.contains(reason), "\(result.error)")
    #expect(result.error.split(separator: "\n").count == 1)
    #expect(try !folder.names().contains("out.rilq"))
  }

  /// What every command prints with and without mapping.
  private static let readers = [
    ["inspect", "model", "--stats", "--json"], ["hash", "q.rilq", "--tensors"],
    ["diff", "model", "q.rilq", "--all"],
    ["verify", "model", "model", "--text", "text.txt", "--max-tokens", "512", "--window", "64"],
    ["convert", "q.rilq", "out", "--to", "safetensors", "--dry-run"],
  ]

  @Test(arguments: readers)
  func `says the same without mapping`(arguments: [String]) throws {
    let folder = try folderWithFixture()
    try folder.write("text.txt", try Array(Data(contentsOf: URL(filePath: evaluationText))))
    try succeed("quantize", "model", "q.rilq", in: folder)
    let mapped = try Program(arguments + ["--quiet"], in: folder).wait()
    let read = try Program(arguments + ["--quiet", "--no-mmap"], in: folder).wait()
    #expect(read.code == mapped.code)
    #expect(read.output == mapped.output)
    #expect(!read.output.isEmpty)
  }

  @Test func `eval scores the same without mapping`() throws {
    let folder = try folderWithFixture()
    let arguments = [
      "eval", "model", "--text", evaluationText, "--window", "64", "--max-tokens", "512", "--json",
    ]
    let documents = try [[], ["--no-mmap"]].map { flags in
      try JSONValue(parsing: Array(Program(arguments + flags, in: folder).wait().output.utf8))
    }
    #expect(documents[0]["perplexity"]?.double != nil)
    #expect(documents[0]["perplexity"] == documents[1]["perplexity"])
  }

  @Test(arguments: ["out.rilq", "out"])
  func `writes the same bytes without mapping`(output: String) throws {
    let folder = try folderWithFixture()
    try succeed("quantize", "model", output, in: folder)
    let digest = try succeed("hash", output, "--json", in: folder).output
    try succeed("quantize", "model", output, "--force", "--no-mmap", in: folder)
    #expect(try succeed("hash", output, "--json", in: folder).output == digest)
  }
}
