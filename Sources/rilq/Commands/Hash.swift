import ArgumentParser
import Checkpoints
import Passes
import Reports

/// `rilq hash`: prints digests that do not depend on the format, and writes or checks manifests of files.
struct Hash: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print digests of a checkpoint that do not depend on its format, or check them.",
    discussion: """
      'content' covers tensors, quantization, adapter and all other files; a .rilq file stores this digest. \
      'weights' leaves the other files out. Neither depends on format, order, compression, shards or metadata. \
      A manifest has the SHA-256 of each file, as sha256sum writes it.
      """)

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Flag(help: "Print the SHA-256 of every tensor and file, too.")
  var tensors = false

  @Option(
    help: "Exit with 1 unless this is the content or the weights digest, or all files match this manifest.")
  var check: String?

  @Option(help: "Write a manifest: the SHA-256 of every file.")
  var manifest: String?

  @Flag(help: "Replace an existing manifest.")
  var force = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if check != nil, manifest != nil { throw ValidationError("--check and --manifest exclude each other") }
    if force, manifest == nil { throw ValidationError("--force goes with --manifest") }
    guard let check, Digest256(check) == nil else { return }
    guard try FileSystem.kind(of: check) != nil else {
      throw ValidationError("--check must be 64 hexadecimal digits or a manifest")
    }
    if tensors { throw ValidationError("--tensors does not go with a manifest") }
  }

  func run() throws {
    _ = global.start()
    if let check, Digest256(check) == nil { return try compare(with: check) }
    if let manifest { try SideFile.requirePlace(at: manifest, mayReplace: force) }
    let digest = try CheckpointDigest(of: Checkpoint.open(path: path, access: global.access))
    if let manifest {
      let text = try FileManifest(of: path, except: manifest, digest).text
      try SideFile.write(text, to: manifest, mayReplace: force)
    }
    let report = HashReport(path: path, digest, expected: check.flatMap { Digest256($0) })
    global.show(report.json, text: report.text(listsTensors: tensors))
    guard report.isExpected else { throw ExitCode(1) }
  }

  /// Compares the files with those of a manifest.
  private func compare(with manifestPath: String) throws {
    let manifest = try FileManifest(contentsOf: manifestPath)
    let current = try FileManifest(of: path, except: manifestPath)
    let differences = manifest.differences(from: current)
    let list = differences.map { difference in
      JSONValue.object([
        .init("name", .string(difference.name)), .init("difference", .string(difference.difference.rawValue)),
      ])
    }
    let document = JSONValue.object([
      .init("path", .string(path)), .init("manifest", .string(manifestPath)),
      .init("matches", .bool(differences.isEmpty)), .init("files", .integer(manifest.entries.count)),
      .init("differences", .array(list)),
    ])
    let lines = differences.map { "DIFFERENT: \($0.name.escapedForDisplay) is \($0.difference.rawValue)" }
    global.show(
      document,
      text: differences.isEmpty
        ? "\(manifest.entries.count) files are as the manifest says" : lines.joined(separator: "\n"))
    guard differences.isEmpty else { throw ExitCode(1) }
  }
}
