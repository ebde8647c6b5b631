import ArgumentParser
import Checkpoints
import Passes

/// What every command that writes a checkpoint understands.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Replace an existing output.")
  var force = false

  @Option(
    help: ArgumentHelp(
      "What to write (default: by the name of the output).",
      discussion: "One of rilq, safetensors, mlx, gguf, gptq, gptq_v2, autoround and compressed-tensors."))
  var to: String?

  @Option(help: "How sections of a .rilq file are compressed: none, zlib, zstd or zstd:LEVEL.")
  var compression = "zstd"

  @Option(
    name: .customLong("gguf-type"),
    help: "What linears are in a GGUF file: auto (default; exact), f32, f16, bf16, q8_0, q4_1 or q2_0.")
  var ggufType = "auto"

  @Flag(help: "Write the nearest where the format of the output does not hold the result, and report the error.")
  var lossy = false

  @Flag(help: "Print what would be done, tensor by tensor, and write nothing.")
  var dryRun = false

  /// The options of a GGUF file.
  func gguf() throws -> GGUFExportOptions {
    guard let type = GGUFLinearType(rawValue: ggufType) else {
      throw PassError.usage(
        "--gguf-type \(ggufType): is none of \(GGUFLinearType.allCases.map(\.rawValue).joined(separator: ", "))"
      )
    }
    return GGUFExportOptions(linearType: type, isLossy: lossy)
  }

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
