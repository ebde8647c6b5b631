import Checkpoints
import Foundation
import Passes
import Synchronization

/// Readers that need files around their input.
extension FuzzTarget {
  /// The bytes before the first NUL, and those after it.
  private static func parts(_ bytes: [UInt8]) -> (first: [UInt8], second: [UInt8]) {
    let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
    return (Array(bytes[..<end]), Array(bytes[end...].dropFirst()))
  }

  /// A safetensors file with a header and as many zeros as its tensors need, up to a limit.
  private static func safetensors(header: [UInt8]) -> [UInt8] {
    let byteLimit = 1 << 16
    let members = (try? JSONValue(parsing: header))?.object ?? []
    let ends = members.compactMap { $0.value["data_offsets"]?.array?.last?.integer }
    let byteCount = min(max(ends.max() ?? 0, 0), byteLimit)
    return UInt64(header.count).littleEndianBytes + header + [UInt8](repeating: 0, count: byteCount)
  }

  /// `adapter_config.json`, NUL, and the header of the adapter's tensors: read, attached and merged.
  static func readAdapter(_ bytes: [UInt8]) -> Bool {
    let (configuration, header) = parts(bytes)
    return FuzzBench.shared.withLock { bench in
      accepts {
        try bench.folder.write("adapter/adapter_config.json", configuration)
        try bench.folder.write("adapter/adapter_model.safetensors", safetensors(header: header))
        _ = try PeftAdapter.open(bench.folder.path("adapter"))
        var isAccepted = false
        for pass in ["attach: {adapter: adapter}", "merge: {adapter: adapter}"] {
          if accepts({ try bench.plan("input: plain\noutput: out.rilq\npasses:\n  - \(pass)\n") }) {
            isAccepted = true
          }
        }
        return isAccepted
      }
    }
  }

  /// `config.json` with a `quantization_config`, NUL, and the header of a checkpoint's tensors.
  static func readInteger(_ bytes: [UInt8]) -> Bool {
    let (configuration, header) = parts(bytes)
    return FuzzBench.shared.withLock { bench in
      accepts {
        try bench.folder.write("integer/config.json", configuration)
        try bench.folder.write("integer/model.safetensors", safetensors(header: header))
        let checkpoint = try Checkpoint.open(path: bench.folder.path("integer"))
        for tensor in checkpoint.contents.tensors {
          let count = try checkpoint.bytes(of: tensor.name).count
          precondition(count == tensor.byteCount, "\(count) bytes of \(tensor)")
        }
        try checkpoint.contents.validateQuantization(path: "")
        return !checkpoint.contents.quantization.isEmpty
      }
    }
  }

  /// The file of a quantization's `importance`.
  static func readImportance(_ bytes: [UInt8]) -> Bool {
    FuzzBench.shared.withLock { bench in
      accepts {
        try bench.folder.write("importance.safetensors", bytes)
        try bench.run(
          """
          input: plain
          output: out.rilq
          passes:
            - quantize: {method: search, group_size: 32, importance: importance.safetensors}
          """)
        return true
      }
    }
  }

  /// A recipe, NUL, and the lines of `--set`.
  ///
  /// The written form of the recipe must read back as the same recipe.
  static func readRecipe(_ bytes: [UInt8]) -> Bool {
    let (yaml, overrides) = parts(bytes)
    return accepts {
      let lines = overrides.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
      let recipe = try Recipe(
        parsing: String(decoding: yaml, as: UTF8.self), path: "recipe.yaml", overrides: lines)
      let text = recipe.resolvedYAML()
      let again = try Recipe(parsing: text, path: "recipe.yaml").resolvedYAML()
      precondition(again == text, text)
      return true
    }
  }

  /// The log of a calibration, which is then plotted.
  static func readLog(_ bytes: [UInt8]) -> Bool {
    FuzzBench.shared.withLock { bench in
      accepts {
        let curve = try CalibrationCurve(contentsOf: bench.folder.write("log.jsonl", bytes))
        precondition(!curve.text.contains(where: \.isNewline), curve.text)
        _ = try JSONValue(parsing: Array(curve.json.compactText.utf8))
        for key in [nil] + CalibrationCurve.keys { _ = CalibrationCurve.plot([curve], key: key).svg }
        return true
      }
    }
  }

  /// The journal of a resumed run, NUL, and the state of its calibration.
  ///
  /// Unfinished steps are run, and the verification fails.
  static func readJournal(_ bytes: [UInt8]) -> Bool {
    let (journal, state) = parts(bytes)
    return FuzzBench.shared.withLock { bench in
      do {
        try bench.resume(journal: journal, state: state)
        return true
      } catch PassError.checkFailed {
        return true
      } catch {
        return describe(error)
      }
    }
  }

  /// Plans that are made from headers: every pass, and the formats that cannot hold everything.
  private static let plans: [(input: String, output: String, pass: String)] =
    [
      "rotate: {}", "quantize: {group_size: 32}", "quantize: {method: search, bits_per_weight: 3.5}",
      "quantize: {method: gptq, text: text.txt, samples: 4, length: 16, layer_epochs: 1}",
      "attach: {kind: dense, rank: 4}",
      "attach: {kind: dense, init: qera, text: text.txt, samples: 4, length: 16}",
    ].map { ("plain", "out.rilq", $0) }
    + [
      "calibrate: {text: text.txt, samples: 4, length: 16}", "merge: {}",
      "calibrate: {text: text.txt, samples: 4, length: 16, train: [bias, scale, code], kl_weight: 1}",
    ].map { ("packed", "out.rilq", $0) }
    + ["out.gguf", "out"].map { ("plain", $0, "quantize: {group_size: 32}") }

  /// The `config.json` of a model with one small layer; every pass is planned with it.
  static func readPlan(_ bytes: [UInt8]) -> Bool {
    FuzzBench.shared.withLock { bench in
      accepts {
        try bench.configure(bytes)
        var isAccepted = false
        for plan in plans {
          let recipe =
            "input: configured-\(plan.input)\noutput: \(plan.output)\npasses:\n  - \(plan.pass)\n"
          if accepts({ try bench.plan(recipe) }) { isAccepted = true }
        }
        return isAccepted
      }
    }
  }

  /// Whether a body returns true; describes an error that it throws.
  private static func accepts(_ body: () throws -> Bool) -> Bool {
    do {
      return try body()
    } catch {
      return describe(error)
    }
  }

  private static func accepts(_ body: () throws -> Void) -> Bool {
    accepts { () throws -> Bool in
      try body()
      return true
    }
  }
}
