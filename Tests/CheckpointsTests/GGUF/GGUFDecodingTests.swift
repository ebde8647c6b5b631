import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

struct GGUFDecodingTests {
  static let types = GGUFTensorType.allCases.filter { ![.f32, .bf16, .q1_0, .q2_0].contains($0) }

  static func decode(_ type: GGUFTensorType, _ blocks: [UInt8]) -> [Float] {
    let count = blocks.count / type.blockByteCount * type.blockElementCount
    var values = [Float](repeating: .nan, count: count)
    var span = values.mutableSpan
    TensorBytes(blocks).withSpan { type.decode($0, into: &span) }
    return values
  }

  @Test(arguments: types) func `decodes the blocks of gguf-py to its floats`(type: GGUFTensorType) throws {
    let golden = try Checkpoint.open(path: Fixtures.path("gguf/blocks.safetensors"))
    let blocks = try golden.copiedBytes(of: type.name + ".blocks")
    let values = Self.decode(type, blocks)
    #expect(narrowed(values, to: .f32) == (try golden.copiedBytes(of: type.name + ".values")))
  }

  @Test func `decodes Q2_0`() {
    // d = -0.5, then the codes 0 1 2 3, 3 2 1 0, and 56 times 1.
    let block: [UInt8] =
      [0x00, 0xB8, 0b11_10_01_00, 0b00_01_10_11] + [UInt8](repeating: 0b01_01_01_01, count: 14)
    let expected: [Float] = [0.5, 0, -0.5, -1, -1, -0.5, 0, 0.5] + [Float](repeating: 0, count: 56)
    #expect(Self.decode(.q2_0, block) == expected)
  }

  @Test func `decodes Q1_0`() {
    // d = -0.5, then the codes 1 1 0 1 0 0 0 0 and 120 zeros.
    let block: [UInt8] = [0x00, 0xB8, 0b0000_1011] + [UInt8](repeating: 0, count: 15)
    let expected: [Float] = [-0.5, -0.5, 0.5, -0.5] + [Float](repeating: 0.5, count: 124)
    #expect(Self.decode(.q1_0, block) == expected)
  }

  @Test func `decodes every half-precision number`() {
    let halves = (UInt16.min...UInt16.max).filter { $0 & 0x7C00 != 0x7C00 || $0 & 0x3FF == 0 }
    // A block of Q8_0 with code 1 everywhere stands for its scale.
    let blocks = halves.flatMap { GGUFBytes.number($0) + [UInt8](repeating: 1, count: 32) }
    let values = Self.decode(.q8_0, blocks)
    let expected = widened(halves.flatMap { GGUFBytes.number($0) }, from: .f16)
    #expect(zip(halves.indices, expected).allSatisfy { values[32 * $0].bitPattern == $1.bitPattern })
  }
}

@Suite(.enabled(if: PythonPeer.has("gguf", "numpy"), "skipped: no Python with gguf and numpy"))
struct `Python's gguf` {
  private struct Source {
    var random: SplitMix64

    /// Random blocks with finite scales.
    mutating func blocks(_ type: GGUFTensorType, count: Int) -> [UInt8] {
      var blocks: [UInt8] = []
      for _ in 0..<count {
        var block = (0..<type.blockByteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
        // A half with its uppermost exponent bit cleared is finite; other bytes may lose a bit too.
        for i in type.scaleUpperBytes { block[i] &= 0xBF }
        blocks += block
      }
      return blocks
    }
  }

  @Test(arguments: GGUFDecodingTests.types) func `decodes random blocks to the same floats`(
    type: GGUFTensorType
  ) throws {
    var source = Source(random: SplitMix64(seed: 100 + UInt64(type.rawValue)))
    let folder = try TemporaryFolder()
    let blocks = source.blocks(type, count: 500)
    let path = try folder.write("blocks", blocks)
    let program = """
      import sys, numpy
      from gguf import GGMLQuantizationType
      from gguf.quants import dequantize
      data = numpy.fromfile(sys.argv[1], dtype=numpy.uint8).reshape(500, -1)
      dequantize(data, GGMLQuantizationType(int(sys.argv[2]))).astype(numpy.float32).tofile(sys.argv[1] + ".values")
      """
    try PythonPeer.run(program, [path, "\(type.rawValue)"])
    #expect(narrowed(GGUFDecodingTests.decode(type, blocks), to: .f32) == (try folder.read("blocks.values")))
  }
}

extension GGUFTensorType {
  /// The upper bytes of the half-precision numbers of a block.
  var scaleUpperBytes: [Int] {
    switch self {
    case .f16, .q4_0, .q5_0, .q8_0, .q1_0, .q2_0: [1]
    case .q4_1, .q5_1, .q4K, .q5K: [1, 3]
    case .q2K: [81, 83]
    case .q3K: [109]
    case .q6K: [209]
    case .iq2XXS, .iq2XS, .iq2S, .iq3XXS, .iq3S, .iq1S, .iq4NL, .iq4XS: [1]
    case .iq1M: [55]
    case .tq1_0: [53]
    case .tq2_0: [65]
    case .f32, .bf16, .mxfp4, .nvfp4: []
    }
  }
}
