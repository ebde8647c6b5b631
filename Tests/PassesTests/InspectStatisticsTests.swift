import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct InspectStatisticsTests {
  /// What is said about the only tensor, or the first.
  private func statistics(of small: SmallCheckpoint) throws -> JSONValue {
    let folder = try TemporaryFolder()
    let json = try Inspection(small.open(in: folder), Inspection.Options(readsValues: true)).json
    return try #require(json["tensors"]?.array?.first)
  }

  /// The values of a tensor of one dtype, one at a time, as their mean.
  private func value(_ dtype: DType, _ bytes: [UInt8]) throws -> Double? {
    var small = SmallCheckpoint()
    small.add("x", dtype, [bytes.count * 8 / dtype.bitWidth], bytes)
    return try statistics(of: small)["statistics"]?["mean"]?.double
  }

  @Test func `describes finite values and counts the others`() throws {
    var small = SmallCheckpoint()
    small.add("x", [1, 0, -3, .nan, .infinity, -0.0, 6])
    #expect(
      try statistics(of: small)["statistics"]?.compactText
        == #"{"count":7,"min":-3.0,"max":6.0,"mean":0.8,"deviation":\#(8.56.squareRoot()),"nan":1,"infinite":1,"zeros":2}"#
    )
  }

  @Test func `agrees with one pass over many blocks`() throws {
    var random = SplitMix64(seed: 3)
    let values = (0..<200_001).map { _ in Float.random(in: 99...100, using: &random) }
    var small = SmallCheckpoint()
    small.add("x", values)
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    let result = try statistics(of: small)["statistics"]
    let deviation = try #require(result?["deviation"]?.double)
    #expect(abs(try #require(result?["mean"]?.double) - mean) < 1e-10)
    #expect(abs(deviation - (squares / Double(values.count)).squareRoot()) < 1e-10)
  }

  @Test func `describes codes and tables of a packed weight`() throws {
    var small = SmallCheckpoint()
    small.addPacked("m", codes: (0..<32).map { $0 < 8 ? 0 : 3 }, scale: 0.5, bias: -1)
    let tensor = try statistics(of: small)
    #expect(
      tensor["codes"]?.compactText
        == #"{"histogram":[8,0,0,24],"unused":[1,2],"scales":{"min":0.5,"max":0.5},"biases":{"min":-1.0,"max":-1.0}}"#
    )
    #expect(tensor["statistics"]?["min"]?.double == -1)
    #expect(tensor["statistics"]?["max"]?.double == 0.5)
  }

  @Test(
    arguments: [
      (DType.bool, [1], 1), (.u8, [200], 200), (.i8, [0xFE], -2), (.i16, [0xFE, 0xFF], -2),
      (.u16, [0, 1], 256),
      (.i32, [0xFF, 0xFF, 0xFF, 0xFF], -1), (.u32, [0, 0, 0, 0x80], 0x1p31),
      (.i64, [UInt8](repeating: 255, count: 8), -1),
      (.f16, [0, 0x3C], 1), (.bf16, [0x80, 0x3F], 1), (.f64, [0, 0, 0, 0, 0, 0, 0xF0, 0x3F], 1),
      (.c64, [0, 0, 0x80, 0x3F, 0, 0, 0x40, 0x40], 2),
      (.f8E4M3, [0x7E], 448), (.f8E5M2, [0x7B], 57344), (.f8E4M3FNUZ, [0x7F], 240),
      (.f8E5M2FNUZ, [0x7F], 57344),
      (.f8E8M0, [126], 0.5), (.f4, [0x76], 5), (.f6E2M3, [0xDF, 0xF7, 0x7D], 7.5),
      (.f6E3M2, [0xDF, 0xF7, 0x7D], 28),
    ] as [(DType, [UInt8], Double)])
  func `reads values of`(dtype: DType, bytes: [UInt8], expected: Double) throws {
    #expect(try value(dtype, bytes) == expected)
  }

  @Test func `has nothing to say about an empty tensor`() throws {
    var small = SmallCheckpoint()
    small.add("x", [])
    #expect(try statistics(of: small)["statistics"]?["min"] == .null)
  }

  @Test func `refuses groups that are not computed with`() throws {
    var small = SmallCheckpoint()
    small.add("m.weight", .u32, [1, 3], [UInt8](repeating: 0, count: 12))
    small.add("m.scales", [1, 1, 1, 1], shape: [1, 4])
    small.add("m.biases", [1, 1, 1, 1], shape: [1, 4])
    small.quantization["m"] = QuantizedLayout(bits: 2, groupSize: 12)
    #expect(throws: FormatError.self) { _ = try statistics(of: small) }
  }
}
