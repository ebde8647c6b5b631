import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct GGUFEncodingWriterTests {
  /// The codes of `Formats/packed.md`, twice.
  private static let codes = bytes("e4 1b 50 fa 8d 72 af 05 e4 1b 50 fa 8d 72 af 05")

  private static func packed(
    _ codes: [UInt8], bits: Int, groupSize: Int, rows: Int = 1, _ scales: [Float], _ biases: [Float]
  ) -> GGUFEncodingRows {
    GGUFEncodingRows(
      rowCount: rows, columnCount: codes.count * 8 / bits / rows,
      storage: .packed(
        codes: TensorBytes(codes), QuantizedLayout(bits: bits, groupSize: groupSize), scales: scales,
        biases: biases))
  }

  @Test func `Q4_1 has scale, bias, and two codes a byte that are half a block apart`() {
    let rows = Self.packed(Self.codes, bits: 2, groupSize: 64, [0.0625], [-0.09375])
    let block = "00 2c 00 ae 10 31 02 23 23 02 31 10 30 30 21 21 12 12 03 03"
    #expect(
      GGUFEncoding(type: .q4_1, keepsCodes: true).encoded(rows, order: .plain) == bytes(block + " " + block))
  }

  @Test func `Q2_0 has a scale and our codes`() {
    let rows = Self.packed(Self.codes, bits: 2, groupSize: 64, [0.0625], [-0.0625])
    #expect(
      GGUFEncoding(type: .q2_0, keepsCodes: true).encoded(rows, order: .plain) == [0, 0x2C] + Self.codes)
  }

  @Test func `Q8_0 has a scale and signed codes`() {
    let codes = (0..<32).map { UInt8($0 * 8 + 3) }
    let rows = Self.packed(codes, bits: 8, groupSize: 32, [0.0625], [-8])
    #expect(
      GGUFEncoding(type: .q8_0, keepsCodes: true).encoded(rows, order: .plain)
        == [0, 0x2C] + codes.map { $0 &- 128 })
  }

  @Test func `rows of a head alternate between its halves`() {
    let order = GGUFRowOrder.interleaved(rowsPerHead: 6)
    #expect((0..<12).map(order.source(of:)) == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11])
  }

  private static let roundedQ41 =
    "22 30 00 bc 80 b3 f7 2a 6e 91 d5 08 4c 7f b3 e6 2a 5d 91 c4"
  private static let roundedQ80 =
    """
    08 20 81 b9 f0 28 5f 99 d0 08 40 77 b1 e8 20 57 91 c8
    00 38 6f a9 e0 18 4f 89 c0 f8 30 67 a1 d8 10 47
    """

  /// Values whose blocks gguf-py 0.19.0 computed: `gguf.quants.quantize(x, Q4_1)` of `x[i] = (i * 7 % 32) / 16 - 1`.
  @Test func `rounds to Q4_1 as ggml does`() {
    let values = (0..<32).map { Float($0 * 7 % 32) / 16 - 1 }
    #expect(Self.round(values, .q4_1) == bytes(Self.roundedQ41))
  }

  @Test func `rounds to Q8_0 as ggml does`() {
    let values = (0..<32).map { Float($0 * 7 % 32) / 16 - 1 }
    #expect(Self.round(values, .q8_0) == bytes(Self.roundedQ80))
  }

  @Test func `rounds to Q2_0 with the largest size as its scale`() {
    let values = (0..<64).map { Float([-1, 0.4, 0.5, -0.6][$0 % 4]) }
    // 0.5 lies between two levels and goes away from zero.
    #expect(Self.round(values, .q2_0) == [0x00, 0x3C] + [UInt8](repeating: 0b00_10_01_00, count: 16))
  }

  @Test func `a block of zeros stays one`() {
    let zeros = [Float](repeating: 0, count: 64)
    for type in [GGUFTensorType.q4_1, .q8_0, .q2_0] {
      let encoding = GGUFEncoding(type: type, keepsCodes: false)
      #expect(encoding.decoded(Self.round(zeros, type), columnCount: 64) == zeros)
    }
  }

  private static func dense(_ values: [Float], columns: Int) -> GGUFEncodingRows {
    GGUFEncodingRows(
      rowCount: values.count / columns, columnCount: columns,
      storage: .dense(TensorBytes(narrowed(values, to: .f32)), .f32))
  }

  private static func round(_ values: [Float], _ type: GGUFTensorType) -> [UInt8] {
    GGUFEncoding(type: type, keepsCodes: false).encoded(dense(values, columns: values.count), order: .plain)
  }

  @Test func `tells how far rounded values are from the original ones`() throws {
    let loss = try #require(
      GGUFEncoding(type: .f16, keepsCodes: false).loss(of: Self.dense([1, 1 + 0x1p-12, 2, 3], columns: 2)))
    #expect(loss.maximum == 0x1p-12)
    #expect(loss.mean == 0x1p-14)
  }

  @Test(arguments: [Float.infinity, .nan, 1e30])
  func `a value that F16 does not hold has no loss that could be told`(value: Float) {
    let rows = Self.dense([0, 0, value, 1], columns: 2)
    #expect(GGUFEncoding(type: .f16, keepsCodes: false).loss(of: rows) == nil)
  }

  @Test(arguments: UInt64(1)...40)
  func `codes of any shape decode to their levels`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let (type, bits) =
      [(GGUFTensorType.q4_1, 2), (.q4_1, 3), (.q4_1, 4), (.q2_0, 2), (.q8_0, 8)]
      .randomElement(using: &random) ?? (.q4_1, 2)
    let groupSize =
      [32, 64, 128].filter { $0 % type.blockElementCount == 0 }.randomElement(using: &random) ?? 64
    let (rows, columns) = (
      Int.random(in: 1...40, using: &random), groupSize * Int.random(in: 1...5, using: &random)
    )
    let codes = (0..<rows * columns * bits / 8).map { _ in UInt8.random(in: 0...255, using: &random) }
    let halves = (0..<rows * columns / groupSize).map { _ in
      widened(narrowed([Float.random(in: -2...2, using: &random)], to: .f16), from: .f16)[0]
    }
    let biases: [Float] =
      switch type {
      // Also those of codes in the opposite order.
      case .q2_0: halves.map { (Bool.random(using: &random) ? -1 : -2) * $0 }
      case .q8_0: halves.map { (Bool.random(using: &random) ? -128 : -127) * $0 }
      default: halves.reversed()
      }
    let matrix = Self.packed(codes, bits: bits, groupSize: groupSize, rows: rows, halves, biases)
    var expected = [Float](repeating: 0, count: rows * columns)
    var span = expected.mutableSpan
    TensorBytes(codes).withSpan {
      dequantizeReference(
        codes: $0, bits: bits, groupSize: groupSize, columnCount: columns, scales: halves.span,
        biases: biases.span,
        groups: 0..<columns / groupSize, into: &span)
    }
    let encoding = GGUFEncoding(type: type, keepsCodes: true)
    let decoded = encoding.decoded(encoding.encoded(matrix, order: .plain), columnCount: rows * columns)
    #expect(decoded == expected)
    #expect(encoding.loss(of: matrix)?.maximum == 0)
  }
}
