import ArgumentParser
import Checkpoints
import Kernels
import Passes

/// `rilq analyze`: the quantization error, and the error left after low-rank corrections.
struct Analyze: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the quantization errors of a model: spectra, ranks, outputs, layers.",
    discussion: """
      Prints the errors of the linears in all layers: their size, and how many singular values hold a share of \
      their energy. With --text it also prints the errors of outputs, with low-rank products added, and of the \
      residual stream after each layer.
      """)

  @Argument(help: "The quantized checkpoint, with or without adapters.")
  var path: String

  @Option(help: "The original checkpoint.")
  var reference: String

  @Option(help: "The UTF-8 text that both models read.")
  var text: String?

  @Option(help: "The number of windows of the text.")
  var samples = 16

  @Option(help: "The number of tokens per window.")
  var length = 256

  @Option(help: "The seed of the choice of windows.")
  var seed: UInt64 = 1

  @Option(help: "A folder for plots, as SVG images.")
  var svg: String?

  @Flag(help: "Replace existing plots.")
  var force = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if samples < 1 { throw ValidationError("--samples must be at least 1") }
    if length < 2 { throw ValidationError("--length must be at least 2") }
    if force, svg == nil { throw ValidationError("--force goes with --svg") }
  }

  func run() throws {
    let progress = global.start()
    if let svg {
      let names = ErrorAnalysis.plotNames(hasText: text != nil)
      try ErrorAnalysis.requirePlace(for: names, in: svg, force: force)
    }
    let analysis = try ErrorAnalysis(
      Checkpoint.open(path: path, access: global.access),
      reference: Checkpoint.open(path: reference, access: global.access),
      text: text.map { ErrorAnalysis.Text(path: $0, samples: samples, length: length, seed: seed) }
    ) { progress.show($0) }
    progress.finish()
    if let svg { try analysis.writePlots(to: svg) }
    var document = analysis.json
    document.set("peak_memory_bytes", to: .integer(ProcessMemory.peakByteCount))
    global.show(document, text: analysis.text)
  }
}
