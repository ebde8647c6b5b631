import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct LatticeTableTests {
  private static let kinds: [SuperBlock] = [.iq2XS, .iq2S]

  private func codes(_ lattice: LatticeTable, _ bytes: [UInt8]) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: bytes.count / lattice.codeByteCount * 256)
    var span = codes.mutableSpan
    let bytes = bytes.span
    lattice.decode(unsafe bytes.bytes, into: &span)
    return codes
  }

  private func encoded(_ lattice: LatticeTable, _ codes: [UInt8]) -> (bytes: [UInt8], wrong: Int?) {
    var bytes = [UInt8](repeating: 0, count: codes.count / 256 * lattice.codeByteCount)
    var span = bytes.mutableSpan
    let wrong = lattice.encode(codes.span, into: &span)
    return (bytes, wrong)
  }

  /// Blocks with every point of IQ2_XS and every sign of its weights, or every point of IQ2_S with some.
  private func blocks(_ kind: SuperBlock) -> [UInt8] {
    guard kind == .iq2S else { return (0..<1 << 16).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] } }
    return (0..<8 * 1024 / 32).flatMap { block -> [UInt8] in
      let numbers: [Int] = (0..<32).map { block * 32 + $0 }
      let lower = numbers.map { UInt8($0 & 255) }
      let signs = numbers.map { UInt8($0 * 37 >> 2 & 255) }
      var upper = [UInt8](repeating: 0, count: 8)
      for (i, number) in numbers.enumerated() { upper[i / 4] |= UInt8(number >> 8 & 3) << UInt8(2 * (i % 4)) }
      return lower + signs + upper
    }
  }

  @Test(arguments: kinds) func `every point with its signs survives as codes`(kind: SuperBlock) throws {
    let lattice = try #require(kind.lattice)
    let bytes = blocks(kind)
    let codes = codes(lattice, bytes)
    let again = encoded(lattice, codes)
    #expect(again.wrong == nil && again.bytes == bytes)
    #expect(Set(codes) == Set([8, 25, 43].flatMap { [128 - $0, 128 + $0] }))
    #expect(Double(kind.codeByteCount) / 32 == (kind == .iq2XS ? 2 : 2.25))
  }

  @Test func `codes that are no point are found`() throws {
    for kind in Self.kinds {
      let lattice = try #require(kind.lattice)
      var codes = codes(lattice, [UInt8](repeating: 0, count: lattice.codeByteCount))
      #expect(codes.allSatisfy { $0 == 136 })
      codes[75] = 130
      #expect(encoded(lattice, codes).wrong == 72)
      // Eight codes with one large magnitude stand in neither table.
      codes.replaceSubrange(72..<80, with: [136, 136, 171, 171, 171, 171, 171, 153])
      #expect(encoded(lattice, codes).wrong == 72)
    }
    var odd = [UInt8](repeating: 136, count: 256)
    odd[9] = 120
    #expect(encoded(.iq2XS, odd).wrong == 8)
    #expect(encoded(.iq2S, odd).wrong == nil)
  }

  @Test func `the tables have the checksums that their script wrote`() {
    func checksum(_ points: [UInt16]) -> UInt32 {
      Checksum.crc32(points.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
    }
    #expect(LatticePoints.iq2XS.count == 512 && checksum(LatticePoints.iq2XS) == 0x622e_679a)
    #expect(LatticePoints.iq2S.count == 1024 && checksum(LatticePoints.iq2S) == 0xf8ad_4e5e)
  }

  @Test(.enabled(if: PythonPeer.has("gguf"), "skipped: no Python with gguf"), arguments: kinds)
  func `the tables are those of the gguf package`(kind: SuperBlock) throws {
    let program = """
      import sys
      from gguf import quants
      print(getattr(quants, sys.argv[1]).grid_hex.decode())
      """
    let points = kind == .iq2XS ? LatticePoints.iq2XS : LatticePoints.iq2S
    let name = kind == .iq2XS ? "IQ2_XS" : "IQ2_S"
    let digits = try PythonPeer.run(program, [name]).filter { $0.isHexDigit }
    #expect(digits == points.map { String(format: "%02x%02x", Int($0 & 255), Int($0 >> 8)) }.joined())
  }
}
