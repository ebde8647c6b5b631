import Checkpoints
import Foundation
import Passes
import Synchronization

/// Tiny checkpoints on disk that fuzzing inputs are put beside, made once per process and removed at its end.
///
/// `plain` has one small layer. `packed` is that model, quantized and with an adapter. Each has a copy whose
/// configuration changes. The folder is below `TMPDIR`, which `Scripts/fuzz.sh` sets to a folder in memory.
final class FuzzBench: Sendable {
  /// One input at a time, because all are written to the same files.
  static let shared = Mutex(FuzzBench())

  let folder: TemporaryFolder
  /// The quantization of the linears of `packed`, as in its configuration.
  private let quantization: JSONValue
  /// The line of a journal that states what the run of `resumedRecipe` depends on.
  let conditions: [UInt8]
  /// The identities of the files that its steps wrote, by name, as in a journal.
  let identities: [String: [UInt8]]

  private static let workFolder = ".resumed.rilq.partial"
  private static let finishedFolder = "finished"

  /// A run whose last step always fails, so that its work folder stays.
  private static let resumedRecipe = """
    input: plain
    output: resumed.rilq
    passes:
      - quantize: {group_size: 32}
      - attach: {kind: pooled, rank: 2}
      - calibrate: {text: text.txt, samples: 4, length: 16, updates: 7, batch: 1, validation: 0}
      - verify: {text: text.txt, window: 16, max_tokens: 64, against: input, max_mean_kl: 0}
    """

  private init() {
    do {
      folder = try TemporaryFolder()
      let model = TinyModel {
        ($0.hiddenSize, $0.intermediateSize, $0.layerCount, $0.headCount) = (64, 64, 1, 2)
      }
      try model.write(to: folder.path("plain"))
      try folder.write("text.txt", String(repeating: "in the beginning was the word ", count: 60))
      try Self.run(
        """
        input: plain
        output: packed
        passes:
          - quantize: {group_size: 32}
          - attach: {kind: pooled, rank: 2}
        """, in: folder)
      quantization = try JSONValue(parsing: folder.read("packed/config.json"))["quantization"] ?? .null
      for name in ["plain", "packed"] {
        try FileManager.default.copyItem(atPath: folder.path(name), toPath: folder.path("configured-" + name))
      }
      do {
        try Self.run(Self.resumedRecipe, in: folder)
        preconditionFailure("two bits are as good as sixteen")
      } catch PassError.checkFailed {}
      let lines = try folder.read(Self.workFolder + "/journal").split(separator: UInt8(ascii: "\n"))
      conditions = Array(lines[0])
      identities = try lines.dropFirst().reduce(into: [:]) { identities, line in
        let step = try JSONValue(parsing: Array(line))
        if let name = step["file"]?.string, let identity = step["identities"] {
          identities[name] = Array(identity.compactText.utf8)
        }
      }
      try FileManager.default.moveItem(
        atPath: folder.path(Self.workFolder), toPath: folder.path(Self.finishedFolder))
    } catch {
      preconditionFailure("\(error)")
    }
    // A static value is never released.
    atexit { FuzzBench.shared.withLock { try? FileManager.default.removeItem(atPath: $0.folder.path) } }
  }

  /// Runs a recipe whose paths start at the folder; replaces an output and reuses finished steps.
  func run(_ recipe: String) throws { try Self.run(recipe, in: folder) }

  /// Plans a recipe whose paths start at the folder.
  func plan(_ recipe: String) throws { _ = try Self.pipeline(recipe, in: folder).plan() }

  /// Changes the configuration of `configured-plain` and `configured-packed`; the latter keeps its
  /// `quantization`.
  func configure(_ bytes: [UInt8]) throws {
    var packed = bytes
    if var value = try? JSONValue(parsing: bytes), value.object != nil {
      value.set("quantization", to: quantization)
      packed = Array(value.compactText.utf8)
    }
    try folder.write("configured-plain/config.json", bytes)
    try folder.write("configured-packed/config.json", packed)
  }

  /// Continues a run whose finished steps are those in a journal.
  ///
  /// - Parameters:
  ///   - journal: The lines after the line of the conditions. `IDENTITY(name)` stands for the identity of a
  ///     step's file.
  ///   - state: The saved state of the third step, a calibration.
  /// - Throws: The error that the run ends with; its verification never succeeds.
  func resume(journal: [UInt8], state: [UInt8]) throws {
    let files = FileManager.default
    try? files.removeItem(atPath: folder.path(Self.workFolder))
    try files.createDirectory(atPath: folder.path(Self.workFolder), withIntermediateDirectories: false)
    var lines = String(decoding: journal, as: UTF8.self)
    for (name, identity) in identities {
      // A hard link has the same identity.
      try files.linkItem(
        atPath: folder.path(Self.finishedFolder + "/" + name),
        toPath: folder.path(Self.workFolder + "/" + name))
      lines = lines.replacing("IDENTITY(\(name))", with: String(decoding: identity, as: UTF8.self))
    }
    try folder.write(Self.workFolder + "/journal", conditions + [UInt8(ascii: "\n")] + Array(lines.utf8))
    try folder.write(Self.workFolder + "/state-2", state)
    try run(Self.resumedRecipe)
  }

  private static func run(_ recipe: String, in folder: TemporaryFolder) throws {
    _ = try pipeline(recipe, in: folder).run()
  }

  private static func pipeline(_ recipe: String, in folder: TemporaryFolder) throws -> Pipeline {
    Pipeline(
      try Recipe(parsing: recipe, path: folder.path("recipe.yaml")),
      Pipeline.Options(force: true, version: "0.0.0", resumes: recipe == resumedRecipe))
  }
}
