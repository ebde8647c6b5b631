package import Checkpoints
import Foundation
import Kernels

/// A tiny checkpoint of a family, made from `Fixtures/families`: its weights follow from their names.
///
/// `Scripts/make-family-goldens.py` computes the same weights, and what transformers makes of them.
package struct FamilyFixture: Sendable {
  /// How `config.json` is spelled.
  package enum Spelling: String, CaseIterable, Sendable {
    /// As published files are.
    case published = "config"
    /// As transformers 5 writes it.
    case transformers5 = "config_of_transformers_5"
  }

  /// The beginning of the seeds of weights.
  package enum Salt: String, CaseIterable, Sendable { case first, second }

  /// The names of the fixtures.
  package static let names: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("families"))) ?? [])
    .filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()

  /// The fixtures without experts, recurrences and keys that layers share.
  package static let denseNames = names.filter { !otherNames.contains($0) }
  /// The fixtures with experts, recurrences, or heads and inputs that differ by layer.
  package static let otherNames = [
    "gemma4", "gemma4-moe", "gemma4-ple", "gpt-oss", "lfm2", "mixtral", "qwen3-moe", "qwen3.5", "qwen3.5-moe",
  ]
  /// The fixtures whose gradients are known: every linear of their layers is a module in transformers.
  package static let trainedNames = denseNames + ["gemma4", "gemma4-ple", "lfm2", "qwen3.5"]

  /// The name.
  package let name: String
  private let facts: JSONValue

  /// Reads the facts of a fixture.
  package init(_ name: String) throws {
    self.name = name
    facts = try JSONValue(contentsOf: Fixtures.path("families/\(name).json"))
  }

  /// The sequence whose results are known.
  package var tokens: [Int32] { (facts["tokens"]?.array ?? []).compactMap { $0.integer.map(Int32.init) } }

  /// The contents of `config.json`.
  package func configuration(_ spelling: Spelling = .published) -> JSONValue {
    facts[spelling.rawValue] ?? .object([])
  }

  /// A tensor of the results of transformers.
  package func golden(_ part: String) throws -> [Float] {
    try Fixtures.floats(
      "\(name).\(part)", in: Checkpoint.open(path: Fixtures.path("families/golden.safetensors")))
  }

  /// Writes the checkpoint as a folder.
  ///
  /// - Parameters:
  ///   - path: The folder to make.
  ///   - spelling: How its configuration is spelled.
  ///   - salt: The beginning of the seeds of its weights.
  ///   - dtype: The dtype of every tensor; the results are those of bf16.
  ///   - edit: Gets the configuration before it is written.
  /// - Returns: The checkpoint, open.
  /// - Throws: `FormatError` when it cannot be written.
  @discardableResult
  package func write(
    to path: String, _ spelling: Spelling = .published, salt: Salt = .first, dtype: DType = .bf16,
    editing edit: (inout JSONValue) -> Void = { _ in }
  ) throws -> Checkpoint {
    var configuration = configuration(spelling)
    edit(&configuration)
    let text = Array(configuration.prettyText.utf8)
    let tensors = (facts["tensors"]?.object ?? []).map { member in
      TensorInfo(
        name: member.key, dtype: dtype, shape: (member.value.array ?? []).compactMap { $0.integer })
    }
    let contents = CheckpointContents(
      tensors: tensors, assets: [Asset(name: ModelConfiguration.fileName, byteCount: text.count)])
    let writer = try SafetensorsFolderWriter(contents, folder: path)
    for tensor in contents.tensors {
      try TensorBytes(values(of: tensor, salt), as: dtype).withSpan { try writer.write(tensor, $0) }
    }
    for asset in contents.assets { try TensorBytes(text).withSpan { try writer.write(asset, $0) } }
    _ = try writer.finish()
    return try Checkpoint.open(path: path)
  }

  /// The weights of a tensor: norms near 1, or near 0 if 1 is added to them; matrices that keep the size of
  /// their inputs.
  private func values(of tensor: TensorInfo, _ salt: Salt) -> [Float] {
    var (size, offset): (Float, Float) = (0.2, 0)
    if tensor.shape.count >= 2 {
      size = 3 / Float(tensor.shape[tensor.shape.count - 1]).squareRoot()
    } else if ["layer_scalar", "router.scale", "per_expert_scale"].contains(where: tensor.name.hasSuffix) {
      offset = 1
    } else if tensor.name.contains("norm"), tensor.name.hasSuffix(".weight") {
      offset = facts["norms_store_differences"]?.bool == true ? 0 : 1
    }
    return Self.uniform("\(salt.rawValue)/\(tensor.name)", count: tensor.elementCount)
      .map { offset + size * $0 }
  }

  /// Numbers from -1 to 1 that follow from a text: SplitMix64, begun at its FNV-1a hash, 24 bits of each.
  package static func uniform(_ seed: String, count: Int) -> [Float] {
    var random = SplitMix64(
      seed: seed.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
    return (0..<count).map { _ in Float(random.next() >> 40) / 8_388_608 - 1 }
  }
}
