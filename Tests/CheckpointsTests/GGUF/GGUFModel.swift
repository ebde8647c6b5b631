import Checkpoints
import Kernels
import TestSupport
import Testing

/// A GGUF file of a small model of architecture `llama`, with random values.
struct GGUFModel {
  var hiddenSize = 256
  var feedForwardSize = 256
  var layerCount = 1
  var headCount = 2
  var keyValueHeadCount = 1
  var vocabularySize = 8
  var seed: UInt64 = 1
  /// The type of a matrix by its name.
  var type: (String) -> GGUFTensorType = { _ in .f16 }
  /// The last changes to the file.
  var change: (inout GGUFBytes) -> Void = { _ in }

  init(_ set: (inout GGUFModel) -> Void = { _ in }) { set(&self) }

  var headSize: Int { hiddenSize / headCount }

  /// Names with rows and columns; vectors have no rows.
  var shapes: [(name: String, rows: Int?, columns: Int)] {
    let keyValueSize = keyValueHeadCount * headSize
    var list: [(name: String, rows: Int?, columns: Int)] = [("token_embd.weight", vocabularySize, hiddenSize)]
    for layer in 0..<layerCount {
      let matrices = [
        ("attn_q", hiddenSize, hiddenSize), ("attn_k", keyValueSize, hiddenSize),
        ("attn_v", keyValueSize, hiddenSize), ("attn_output", hiddenSize, hiddenSize),
        ("ffn_gate", feedForwardSize, hiddenSize), ("ffn_up", feedForwardSize, hiddenSize),
        ("ffn_down", hiddenSize, feedForwardSize),
      ]
      for name in ["attn_norm", "ffn_norm"] { list.append(("blk.\(layer).\(name).weight", nil, hiddenSize)) }
      list += matrices.map { ("blk.\(layer).\($0.0).weight", $0.1, $0.2) }
    }
    return list + [("output_norm.weight", nil, hiddenSize), ("output.weight", vocabularySize, hiddenSize)]
  }

  /// The file.
  var file: GGUFBytes {
    var random = SplitMix64(seed: seed)
    var file = GGUFBytes()
    file.add("general.architecture", .string("llama"))
    file.add("general.name", .string("a small one"))
    let sizes: [(String, Int)] = [
      ("block_count", layerCount), ("context_length", 512), ("embedding_length", hiddenSize),
      ("feed_forward_length", feedForwardSize), ("attention.head_count", headCount),
      ("attention.head_count_kv", keyValueHeadCount),
    ]
    for (key, size) in sizes { file.add("llama." + key, .uint32(UInt32(size))) }
    file.add("llama.attention.layer_norm_rms_epsilon", .float32(1e-5))
    for (name, rows, columns) in shapes {
      let type = rows == nil ? .f32 : type(name)
      let count = (rows ?? 1) * columns / type.blockElementCount
      let dimensions = [columns] + (rows.map { [$0] } ?? [])
      file.tensors.append(
        .init(
          name, dimensions.map { UInt64($0) }, type: type.rawValue, Self.data(type, count: count, &random)))
    }
    change(&file)
    return file
  }

  /// Finite values: floats near 1, blocks with small scales.
  static func data(_ type: GGUFTensorType, count: Int, _ random: inout SplitMix64) -> [UInt8] {
    if let format = FloatFormat.allCases.first(where: { $0.name == type.name }) {
      return narrowed(
        (0..<count).map { _ in Float(Int.random(in: -64...64, using: &random)) / 64 }, to: format)
    }
    var data: [UInt8] = []
    for _ in 0..<count {
      var block = (0..<type.blockByteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
      for i in type.scaleUpperBytes { block[i] &= 0xBF }
      data += block
    }
    return data
  }

  /// Writes and opens the file.
  func open(in folder: TemporaryFolder) throws -> Checkpoint {
    try Checkpoint.open(path: folder.write("x.gguf", file.bytes))
  }

  /// The values of a tensor as the file has them.
  func values(_ name: String) throws -> [Float] {
    let tensor = try #require(file.tensors.first { $0.name == Array(name.utf8) })
    return GGUFDecodingTests.decode(try #require(GGUFTensorType(rawValue: tensor.type)), tensor.data)
  }

  /// Rows in the order of Hugging Face: of each head the first values of all pairs, then the second ones.
  func reordered(_ values: [Float], heads: Int) -> [Float] {
    let columns = hiddenSize
    var rows: [ArraySlice<Float>] = []
    for head in 0..<heads {
      for half in 0..<2 {
        for pair in 0..<headSize / 2 {
          let row = head * headSize + 2 * pair + half
          rows.append(values[row * columns..<(row + 1) * columns])
        }
      }
    }
    return Array(rows.joined())
  }
}

extension FloatFormat {
  fileprivate var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .bf16: "BF16"
    }
  }
}

extension Checkpoint {
  /// The weights behind packed codes, computed in single precision.
  func unpackedWeights(of module: String) throws -> [Float] {
    let weight = try #require(try quantizedWeight(of: module))
    let layout = weight.layout
    var codes = [UInt8](repeating: 0, count: weight.codes.count * 8 / layout.codeBits)
    var span = codes.mutableSpan
    weight.codes.withSpan { unpackCodes($0, bits: layout.codeBits, into: &span) }
    return codes.indices.map { i in
      weight.scales[i / layout.groupSize] * Float(codes[i]) + weight.biases[i / layout.groupSize]
    }
  }
}
