import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// `rilq doctor`: shows what the processor has, which kernels are used, and how fast they are here.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the processor's instructions, the kernels that are used, and their speed.",
    discussion: """
      The speed is measured for about two seconds on all threads: of products of matrices, in 10⁹ floating-point \
      operations per second, and of single tokens with weights of 2 bits, in 10⁹ weights per second.
      """)

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    _ = global.start()
    let report = DoctorReport()
    global.show(report.json, text: report.text)
  }
}

/// What `rilq doctor` prints.
private struct DoctorReport {
  private let processor = Processor.current
  private let threads = ThreadLimit.current
  private let products: [(operands: ProductOperands, kernel: ProductBackend, speed: Double)]
  private let int8 = (kernel: Int8Backend.best, speed: KernelSpeed.int8Rows())
  private let libraries = [("openblas", LinearAlgebra.libraryVersion)] + LibraryVersions.all

  init() {
    products = ProductOperands.allCases.map { operands in
      let kernel = ProductBackend.best(for: operands)
      return (operands, kernel, KernelSpeed.product(kernel))
    }
  }

  var json: JSONValue {
    .object([
      .init("version", .string(Rilq.version)),
      .init(
        "processor",
        .object([
          .init("vendor", .string(processor.vendor.rawValue)), .init("family", .integer(processor.family)),
          .init("model", .integer(processor.model)),
          .init("instructions", .array(processor.features.names.map { .string($0) })),
        ])),
      .init("threads", .integer(threads)),
      .init(
        "products",
        .array(
          products.map {
            .object([
              .init("operands", .string($0.operands.rawValue)), .init("kernel", .string($0.kernel.name)),
              .init("gflops", .double($0.speed)),
            ])
          })),
      .init(
        "single_tokens",
        .object([
          .init("kernel", .string(int8.kernel.name)), .init("gigaweights_per_second", .double(int8.speed)),
        ])),
      .init("mpi", ProcessJob.library.map(JSONValue.string) ?? .null),
      .init("libraries", .object(libraries.map { .init($0.0, .string($0.1)) })),
    ])
  }

  var text: String {
    let instructions = processor.features.names
    var rows = [
      ("version", Rilq.version),
      ("processor", "\(processor.vendor.rawValue), family \(processor.family), model \(processor.model)"),
      (
        "instructions",
        instructions.isEmpty ? "none beyond the baseline" : instructions.joined(separator: ", ")
      ),
      ("threads", "\(threads)"),
    ]
    for (operands, kernel, speed) in products {
      rows.append(
        ("products \(operands.rawValue)", "\(kernel.name), \(speed.formatted(decimals: 0)) GFLOP/s"))
    }
    rows.append(
      ("single tokens", "\(int8.kernel.name), \(int8.speed.formatted(decimals: 0)) G weights/s at 2 bits"))
    rows += libraries
    rows.append(("mpi", ProcessJob.library ?? "not built in"))
    let width = 2 + (rows.map(\.0.count).max() ?? 0)
    return rows.map { $0.padding(toLength: width, withPad: " ", startingAt: 0) + $1 }.joined(separator: "\n")
  }
}
