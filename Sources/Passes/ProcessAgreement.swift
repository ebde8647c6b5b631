package import Kernels
import Checkpoints

extension ProcessGroup {
  /// Checks that all processes are about to do the same work with the same result.
  ///
  /// Files are compared by size and contents, large ones by both ends, not by time: every machine may have a copy.
  ///
  /// - Parameters:
  ///   - version: The version of the program.
  ///   - request: What was asked for, as a text.
  ///   - paths: The files and folders to read.
  /// - Throws: `PassError.usage`, on every rank, when a rank differs from rank 0; `FormatError` when a file
  ///   cannot be read.
  package func requireAgreement(version: String, request: String, paths: [String]) throws {
    guard count > 1 else { return }
    let files = try paths.flatMap(RunConditions.files).map { try FileIdentity(of: $0).content }
    let inputs = Self.digest(files.joined(separator: "\n"))
    try requireEqual("another version of rilq", version, showsValues: true)
    try requireEqual(
      "other kernels", Self.kernels, showsValues: true,
      advice: "; the results of unlike processors differ, take machines of one kind")
    try requireEqual("another recipe or other options", Self.digest(request))
    try requireEqual("other input files", inputs)
  }

  /// Checks that all ranks have the same value.
  private func requireEqual(
    _ difference: String, _ own: String, showsValues: Bool = false, advice: String = ""
  ) throws {
    let all = try gather(own)
    guard let other = all.firstIndex(where: { $0 != all[0] }) else { return }
    let values = showsValues ? ": \(all[other]), not \(all[0])" : ""
    throw PassError.usage("rank \(other) has \(difference) than rank 0\(values)\(advice)")
  }

  /// The kernels that this processor takes, which decide the last bits of results.
  private static var kernels: String {
    let products = ProductOperands.allCases.map { ProductBackend.best(for: $0).name }
    return ([String(describing: InstructionSet.best)] + products + [Int8Backend.best.name]).joined(
      separator: " ")
  }

  private static func digest(_ text: String) -> String {
    unsafe Digest256(hashing: Array(text.utf8).span.bytes).description
  }
}
