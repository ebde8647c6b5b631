import ArgumentParser
import Checkpoints
import Passes

/// The options of every command that writes a checkpoint.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Replace an existing output.")
  var force = false

  @Option(
    help: ArgumentHelp(
      "The format to write (default: by the name of the output).",
      discussion: "One of rilq, safetensors, mlx, gguf, gptq, gptq_v2, autoround and compressed-tensors."))
  var to: String?

  @Option(help: "How sections of a .rilq file are compressed: none, zlib, zstd or zstd:LEVEL.")
  var compression = "zstd"

  @Option(
    name: .customLong("gguf-type"),
    help: ArgumentHelp(
      "The type of linears in a GGUF file: auto (default; exact), f32, f16, bf16, q8_0, q4_1 or q2_0.",
      discussion: "Or q2_k to q6_k, iq2_xs or iq2_s, which only 'quantize --grid' makes."))
  var ggufType = "auto"

  @Flag(
    help: "Round values that the output format cannot hold exactly, and report the error.")
  var lossy = false

  @Option(help: "The largest file of a safetensors folder, such as 500MB or 5GB (default: 5GB).")
  var shardSize: String?

  @Flag(
    help:
      "Resume a stopped run after its last finished step; keep finished steps if this run is stopped.")
  var resume = false

  @Option(
    help: "The memory limit of calibration where it has a choice, such as 800MB (default: automatic).")
  var memory: String?

  @Flag(help: "Print what would be done, tensor by tensor, and write nothing.")
  var dryRun = false

  /// Returns the type of linears in a GGUF file.
  func ggufLinearType() throws -> GGUFLinearType {
    guard let type = GGUFLinearType(rawValue: ggufType) else {
      throw PassError.usage(
        "--gguf-type \(ggufType): is none of \(GGUFLinearType.allCases.map(\.rawValue).joined(separator: ", "))"
      )
    }
    return type
  }

  /// The requested format.
  func format() throws -> OutputFormat? {
    guard let to else { return nil }
    guard let format = OutputFormat(rawValue: to) else {
      throw PassError.usage(
        "--to \(to): is none of \(OutputFormat.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return format
  }

  /// Returns the maximum size of the tensors in one safetensors file, in bytes; nil for the default.
  ///
  func shardByteLimit(for format: OutputFormat) throws -> Int? {
    guard let shardSize else { return nil }
    guard format != .rilq, format != .gguf else {
      throw PassError.usage("--shard-size: goes with a safetensors folder; \(format.rawValue) is one file")
    }
    return try Self.byteCount(shardSize, of: "--shard-size")
  }

  /// Returns the memory limit of passes in bytes; nil for the default.
  func memoryLimit() throws -> Int? { try memory.map { try Self.byteCount($0, of: "--memory") } }

  /// Parses a size.
  static func byteCount(_ size: String, of option: String) throws -> Int {
    guard let byteCount = Int(size: size) else {
      throw PassError.usage("\(option) \(size): is not a size such as 500MB or 5GB")
    }
    return byteCount
  }

  /// Returns the options of the container.
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
    throw PassError.usage("--compression \(compression): is not one of none, zlib, zstd and zstd:LEVEL")
  }
}
