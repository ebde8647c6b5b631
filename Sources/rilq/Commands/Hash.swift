import ArgumentParser
import Checkpoints
import Passes

/// `rilq hash`: prints digests that do not depend on the format.
struct Hash: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print digests of a checkpoint that do not depend on its format, or check one.",
    discussion: """
      'content' covers tensors, quantization, adapter and all other files; a .rilq file stores this digest. \
      'weights' leaves the other files out. Neither depends on format, order, compression, shards or metadata.
      """)

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Flag(help: "Print the SHA-256 of every tensor and file, too.")
  var tensors = false

  @Option(help: "Exit with 1 unless this is the content or the weights digest.")
  var check: String?

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    guard let check, Digest256(check) == nil else { return }
    throw ValidationError("--check must be 64 hexadecimal digits")
  }

  func run() throws {
    _ = global.start()
    let report = HashReport(
      path: path, try CheckpointDigest(of: Checkpoint.open(path: path, access: global.access)),
      expected: check.flatMap { Digest256($0) })
    global.show(report.json, text: report.text(listsTensors: tensors))
    guard report.isExpected else { throw ExitCode(1) }
  }
}
