import ArgumentParser
import Checkpoints
import Passes

/// What every command that writes a checkpoint understands.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Replace an existing output.")
  var force = false

  @Option(
    help:
      "What to write: rilq, safetensors, mlx, gptq, gptq_v2, autoround or compressed-tensors (default: by the name of the output)."
  )
  var to: String?

  @Option(help: "How sections of a .rilq file are compressed: none, zlib, zstd or zstd:LEVEL.")
  var compression = "zstd"

  @Flag(
    help: "Write the nearest where the output's format cannot hold the result exactly, and report the error.")
  var lossy = false

  @Flag(help: "Print what would be done, tensor by tensor, and write nothing.")
  var dryRun = false

  /// The asked-for format.
  func format() throws -> OutputFormat? {
    guard let to else { return nil }
    guard let format = OutputFormat(rawValue: to) else {
      throw PassError.usage(
        "--to \(to): is none of \(OutputFormat.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return format
  }

  /// The options of the container.
  func container() throws -> ContainerOptions {
    let parts = compression.split(separator: ":", omittingEmptySubsequences: false)
    switch (parts.first, parts.count) {
    case ("none", 1): return ContainerOptions(compression: .none)
    case ("zlib", 1): return ContainerOptions(compression: .zlib)
    case ("zstd", 1): return ContainerOptions()
    case ("zstd", 2):
      guard let level = Int(parts[1]), ContainerCompression.zstdLevels.contains(level) else { break }
      return ContainerOptions(compression: .zstd(level: level))
    default: break
    }
    throw PassError.usage("--compression \(compression): is none of none, zlib, zstd and zstd:LEVEL")
  }
}
