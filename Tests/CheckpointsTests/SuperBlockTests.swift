import Checkpoints
import Testing

@Suite struct SuperBlockTests {
  /// Tables of some blocks with all integers and factors of either sign.
  private func tables(_ kind: SuperBlock, blocks: Int) -> BlockTables {
    let groups = blocks * kind.groupCount
    func steps(_ limits: ClosedRange<Int>, _ stride: Int) -> [Float] {
      (0..<groups).map { Float(limits.lowerBound + $0 * stride % limits.count) }
    }
    return BlockTables(
      kind: kind, scaleSteps: steps(kind.scaleSteps, 5).map { kind.multiple(ofStep: Int($0)) },
      biasSteps: kind.zeroPoint == nil ? steps(kind.biasSteps, 7) : steps(0...0, 1),
      scaleFactors: (0..<blocks).map { 0.25 * Float($0 + 1) * ($0 % 2 == 0 ? 1 : -1) },
      biasFactors: (0..<blocks).map { kind.zeroPoint == nil ? 0.5 * Float($0) : 0 })
  }

  @Test(arguments: SuperBlock.allCases)
  func `integers and factors survive their bytes`(kind: SuperBlock) {
    let tables = tables(kind, blocks: 16)
    let bytes = tables.stepBytes
    #expect(bytes.count == 16 * kind.stepByteCount)
    #expect(Set(tables.scaleSteps).count == kind.scaleSteps.count)
    let span = bytes.span
    #expect(BlockTables(kind: kind, steps: unsafe span.bytes, factors: tables.factors) == tables)
  }

  @Test func `bytes of each type are those of the reference`() {
    // Computed with the gguf package's dequantization: the scale and bias of each group, divided by d and dmin.
    func bytes(_ kind: SuperBlock) -> [UInt8] {
      let groups = 0..<kind.groupCount
      return BlockTables(
        kind: kind, scaleSteps: groups.map { kind.multiple(ofStep: kind.scaleSteps.upperBound - $0) },
        biasSteps: groups.map {
          kind.zeroPoint == nil ? Float($0 * 2 % (kind.scaleSteps.upperBound + 1)) : 0
        },
        scaleFactors: [1], biasFactors: [kind.zeroPoint == nil ? 1 : 0]
      ).stepBytes
    }
    #expect(
      bytes(.q2K) == [
        0x0f, 0x2e, 0x4d, 0x6c, 0x8b, 0xaa, 0xc9, 0xe8, 0x07, 0x26, 0x45, 0x64, 0x83, 0xa2, 0xc1, 0xe0,
      ])
    #expect(
      bytes(.q3K) == [0x7f, 0x6e, 0x5d, 0x4c, 0x3b, 0x2a, 0x19, 0x08, 0xff, 0xff, 0xff, 0xff])
    for kind in [SuperBlock.q4K, .q5K] {
      #expect(bytes(kind) == [0xff, 0xfe, 0xfd, 0xfc, 0x00, 0x02, 0x04, 0x06, 0x8b, 0xaa, 0xc9, 0xe8])
    }
    #expect(bytes(.q6K) == (0..<16).map { 0x7f - $0 })
    for kind in [SuperBlock.iq2XS, .iq2S] {
      #expect(bytes(kind) == [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01])
    }
  }

  @Test(arguments: [SuperBlock.iq2XS, .iq2S])
  func `multiples of lattices are odd eighths`(kind: SuperBlock) {
    #expect(kind.multiple(ofStep: 0) == 0.125 && kind.multiple(ofStep: 15) == 3.875)
    for step in kind.scaleSteps { #expect(kind.step(ofMultiple: kind.multiple(ofStep: step)) == step) }
  }

  @Test(arguments: SuperBlock.allCases)
  func `tables are products, without a negative zero`(kind: SuperBlock) {
    let tables = tables(kind, blocks: 4)
    for group in tables.scales.indices {
      let block = group / kind.groupCount
      let scale = tables.scaleFactors[block] * tables.scaleSteps[group]
      let bias =
        kind.zeroPoint.map { -Float($0) * scale } ?? -tables.biasFactors[block] * tables.biasSteps[group]
      #expect(tables.scales[group] == scale && tables.biases[group] == bias)
      #expect(tables.biases[group].sign == .plus || tables.biases[group] != 0)
    }
  }
}
