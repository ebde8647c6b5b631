import Kernels
import TestSupport
import Testing

@Suite struct FloatFormatTests {
  private static let everyHalf = (0...UInt16.max).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }

  /// Every exponent and sign, with fractions at and around the ties of both half formats.
  private static let edges: [Float] = (0...511).flatMap { top -> [Float] in
    let fractions: [UInt32] = [
      0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0x17fff,
      0x18000, 0x18001, 0x40_0000, 0x7f_dfff, 0x7f_e000, 0x7f_efff, 0x7f_f000, 0x7f_7fff, 0x7f_8000,
      0x7f_ffff,
    ]
    return fractions.map { Float(bitPattern: UInt32(top) << 23 | $0) }
  }

  private func widened(_ bytes: [UInt8], _ format: FloatFormat, on set: InstructionSet) -> [Float] {
    var values = [Float](repeating: -7, count: bytes.count / format.byteWidth)
    var span = values.mutableSpan
    widen(bytes.span.bytes, from: format, into: &span, on: set)
    return values
  }

  private func narrowed(_ values: [Float], _ format: FloatFormat, on set: InstructionSet) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xaa, count: values.count * format.byteWidth)
    var span = bytes.mutableSpan
    narrow(values.span, to: format, into: &span, on: set)
    return bytes
  }

  @Test(arguments: InstructionSet.supported)
  func `widens every half as the standard library does`(set: InstructionSet) {
    let values = widened(Self.everyHalf, .f16, on: set)
    for (i, value) in values.enumerated() {
      let expected = Float(Float16(bitPattern: UInt16(i)))
      guard value.bitPattern == expected.bitPattern || (value.isNaN && expected.isNaN) else {
        Issue.record("half \(i): \(value) instead of \(expected)")
        return
      }
    }
  }

  @Test(arguments: InstructionSet.supported, FloatFormat.allCases)
  func `widens as the plain loop does, bit by bit`(set: InstructionSet, format: FloatFormat) {
    var expected = [Float](repeating: 0, count: Self.everyHalf.count / format.byteWidth)
    var span = expected.mutableSpan
    widenReference(Self.everyHalf.span.bytes, from: format, into: &span)
    #expect(bits(widened(Self.everyHalf, format, on: set)) == bits(expected))
  }

  @Test(arguments: InstructionSet.supported, [FloatFormat.f16, .bf16])
  func `gives every half back`(set: InstructionSet, format: FloatFormat) {
    let back = narrowed(widened(Self.everyHalf, format, on: set), format, on: set)
    let (infinity, quiet): (UInt16, UInt16) = format == .f16 ? (0x7c00, 0x200) : (0x7f80, 0x40)
    let expected = (0...UInt16.max).flatMap { half -> [UInt8] in
      let half = half & 0x7fff > infinity ? half | quiet : half
      return [UInt8(half & 0xff), UInt8(half >> 8)]
    }
    #expect(back == expected)
  }

  @Test(arguments: InstructionSet.supported, FloatFormat.allCases)
  func `narrows as the plain loop does, bit by bit`(set: InstructionSet, format: FloatFormat) {
    var random = SplitMix64(seed: 3)
    let values =
      Self.edges + (0..<5000).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) }
    var expected = [UInt8](repeating: 0, count: values.count * format.byteWidth)
    var span = expected.mutableSpan
    narrowReference(values.span, to: format, into: &span)
    #expect(narrowed(values, format, on: set) == expected)
  }

  @Test(arguments: InstructionSet.supported)
  func `narrows to halves as the standard library does`(set: InstructionSet) {
    let values = Self.edges.filter { !$0.isNaN }
    let expected = values.flatMap { value -> [UInt8] in
      let half = Float16(value).bitPattern
      return [UInt8(half & 0xff), UInt8(half >> 8)]
    }
    #expect(narrowed(values, .f16, on: set) == expected)
  }

  @Test(arguments: InstructionSet.supported, FloatFormat.allCases)
  func `narrows any count of values`(set: InstructionSet, format: FloatFormat) {
    let values = randomFloats(70, seed: 4)
    let whole = narrowed(values, format, on: set)
    for count in 0...69 {
      let values = Array(values[..<count])
      #expect(narrowed(values, format, on: set) == Array(whole[..<(count * format.byteWidth)]))
    }
  }

  @Test(arguments: InstructionSet.supported, FloatFormat.allCases)
  func `reads at odd addresses`(set: InstructionSet, format: FloatFormat) {
    let bytes = narrowed(randomFloats(37, seed: 5), format, on: set)
    var values = [Float](repeating: 0, count: 37)
    var span = values.mutableSpan
    let shifted = [0] + bytes
    widen(shifted.span.bytes.extracting(1..<shifted.count), from: format, into: &span, on: set)
    #expect(values == widened(bytes, format, on: set))
  }
}
