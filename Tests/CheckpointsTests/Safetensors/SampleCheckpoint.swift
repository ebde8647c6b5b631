import Checkpoints
import TestSupport

/// A checkpoint in memory, for writing.
struct SampleCheckpoint {
  var contents: CheckpointContents
  var values: [String: [UInt8]] = [:]
  var assetTexts: [String: String] = [:]

  /// Random bytes for every tensor.
  init(_ tensors: [TensorInfo], seed: UInt64 = 1) {
    contents = CheckpointContents(tensors: tensors)
    var random = SplitMix64(seed: seed)
    for tensor in tensors {
      values[tensor.name] = (0..<tensor.byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
  }

  /// Two quantized modules of other widths, `a` `[8, 64]` and `b` `[4, 128]`, and a norm.
  static func quantized() -> SampleCheckpoint {
    var sample = SampleCheckpoint(
      quantizedTensors("a", out: 8, in: 64, bits: 2, groupSize: 32)
        + quantizedTensors("b", out: 4, in: 128, bits: 4, groupSize: 64)
        + [TensorInfo(name: "norm.weight", dtype: .bf16, shape: [3])])
    sample.contents.quantization = [
      "a": QuantizedLayout(bits: 2, groupSize: 32),
      "b": QuantizedLayout(bits: 4, groupSize: 64),
    ]
    sample.setAsset("config.json", #"{"model_type": "llama", "eps": 1e-05}"#)
    return sample
  }

  static func quantizedTensors(
    _ module: String, out: Int, in inputCount: Int, bits: Int, groupSize: Int
  ) -> [TensorInfo] {
    [
      TensorInfo(name: module + ".weight", dtype: .u32, shape: [out, inputCount * bits / 32]),
      TensorInfo(name: module + ".scales", dtype: .f16, shape: [out, inputCount / groupSize]),
      TensorInfo(name: module + ".biases", dtype: .f16, shape: [out, inputCount / groupSize]),
    ]
  }

  mutating func setAsset(_ name: String, _ text: String) {
    assetTexts[name] = text
    contents.assets.removeAll { $0.name == name }
    contents.assets.append(Asset(name: name, byteCount: text.utf8.count))
  }

  /// Adds tensors with zeros.
  mutating func add(_ tensors: [TensorInfo]) {
    for tensor in tensors {
      contents.tensors.append(tensor)
      values[tensor.name] = [UInt8](repeating: UInt8(contents.tensors.count), count: tensor.byteCount)
    }
  }

  /// Writes it as a folder.
  ///
  /// - Returns: The bytes written.
  @discardableResult
  func write(to folder: String, shardByteLimit: Int = 5_000_000_000) throws -> Int {
    let writer = try SafetensorsFolderWriter(contents, folder: folder, shardByteLimit: shardByteLimit)
    for tensor in contents.tensors {
      try TensorBytes(values[tensor.name] ?? []).withSpan { try writer.write(tensor, $0) }
    }
    for asset in contents.assets {
      try TensorBytes(Array((assetTexts[asset.name] ?? "").utf8)).withSpan { try writer.write(asset, $0) }
    }
    return try writer.finish()
  }
}

extension TensorBytes {
  /// A copy.
  var array: [UInt8] { withSpan { $0.copiedBytes() } }
}

extension CheckpointContents {
  /// The tensors sorted by name, for comparing.
  var sortedTensors: [TensorInfo] { tensors.sorted { $0.name < $1.name } }
}

/// The one-line message of the error that `body` throws, without the folder.
func message(in folder: TemporaryFolder, _ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch { return "\(error)".replacing(folder.path, with: "") }
}
