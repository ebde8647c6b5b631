import Kernels
import Testing

@Suite struct PackedCodesTests {
  private static let counts = [0, 8, 16, 24, 56, 64, 72, 120, 128, 136, 1000]

  private func packed(_ codes: [UInt8], bits: Int, on set: InstructionSet) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xaa, count: codes.count * bits / 8)
    var span = bytes.mutableSpan
    packCodes(codes.span, bits: bits, into: &span, on: set)
    return bytes
  }

  private func unpacked(_ bytes: [UInt8], bits: Int, on set: InstructionSet) -> [UInt8] {
    var codes = [UInt8](repeating: 0xaa, count: bytes.count * 8 / bits)
    var span = codes.mutableSpan
    unpackCodes(bytes.span.bytes, bits: bits, into: &span, on: set)
    return codes
  }

  @Test(arguments: InstructionSet.supported)
  func `packs the example of the format`(set: InstructionSet) {
    let codes: [UInt8] = [
      0, 1, 2, 3, 3, 2, 1, 0, 0, 0, 1, 1, 2, 2, 3, 3, 1, 3, 0, 2, 2, 0, 3, 1, 3, 3, 2, 2, 1, 1, 0, 0,
    ]
    let bytes: [UInt8] = [0xe4, 0x1b, 0x50, 0xfa, 0x8d, 0x72, 0xaf, 0x05]
    #expect(packed(codes, bits: 2, on: set) == bytes)
    #expect(unpacked(bytes, bits: 2, on: set) == codes)
  }

  @Test(arguments: InstructionSet.supported)
  func `packs eight codes of 3 bits into three bytes`(set: InstructionSet) {
    // 7 6 5 4 3 2 1 0, each three bits from the lowest up: 0b000001_010011_100101_110111.
    #expect(packed([7, 6, 5, 4, 3, 2, 1, 0], bits: 3, on: set) == [0x77, 0x39, 0x05])
  }

  @Test(arguments: InstructionSet.supported)
  func `packs eight codes of 5 and of 6 bits into five and six bytes`(set: InstructionSet) {
    #expect(packed([31, 0, 1, 2, 4, 8, 16, 30], bits: 5, on: set) == [0x1f, 0x04, 0x41, 0x10, 0xf4])
    #expect(packed([63, 0, 1, 2, 4, 8, 16, 62], bits: 6, on: set) == [0x3f, 0x10, 0x08, 0x04, 0x02, 0xf9])
  }

  @Test(arguments: InstructionSet.supported)
  func `packs 4 bits low half first and 8 bits as they are`(set: InstructionSet) {
    #expect(packed([0, 1, 2, 3, 15, 14, 13, 12], bits: 4, on: set) == [0x10, 0x32, 0xef, 0xcd])
    let bytes: [UInt8] = [0, 1, 128, 255, 7, 6, 5, 4]
    #expect(packed(bytes, bits: 8, on: set) == bytes)
  }

  @Test(arguments: InstructionSet.supported, [2, 3, 4, 5, 6, 8])
  func `packs as the plain loop does`(set: InstructionSet, bits: Int) {
    for count in Self.counts {
      let codes = randomBytes(count, seed: UInt64(count), below: 1 << bits)
      var expected = [UInt8](repeating: 0, count: count * bits / 8)
      var span = expected.mutableSpan
      packCodesReference(codes.span, bits: bits, into: &span)
      #expect(packed(codes, bits: bits, on: set) == expected)
    }
  }

  @Test(arguments: InstructionSet.supported, [2, 3, 4, 5, 6, 8])
  func `unpacks as the plain loop does`(set: InstructionSet, bits: Int) {
    for count in Self.counts {
      let bytes = randomBytes(count * bits / 8, seed: UInt64(count))
      var expected = [UInt8](repeating: 0, count: count)
      var span = expected.mutableSpan
      unpackCodesReference(bytes.span.bytes, bits: bits, into: &span)
      #expect(unpacked(bytes, bits: bits, on: set) == expected)
    }
  }

  @Test(arguments: InstructionSet.supported, [2, 3, 4, 5, 6])
  func `drops the bits above a code`(set: InstructionSet, bits: Int) {
    let codes = randomBytes(128, seed: 1)
    let mask = UInt8(1 << bits - 1)
    #expect(packed(codes, bits: bits, on: set) == packed(codes.map { $0 & mask }, bits: bits, on: set))
  }
}
