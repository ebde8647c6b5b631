import Checkpoints
import Testing

@Suite struct QuantizedLayoutTests {
  @Test(arguments: QuantizedLayout.codeWidths)
  func `names the tensors of a module with their dtypes and shapes`(bits: Int) {
    let layout = QuantizedLayout.affine(bits: bits, groupSize: 64)
    #expect(layout.fits(columns: 128))
    #expect(
      layout.tensors(of: "m", rows: 3, columns: 128, tables: .f16) == [
        TensorInfo(name: "m.weight", dtype: .u32, shape: [3, 4 * bits]),
        TensorInfo(name: "m.scales", dtype: .f16, shape: [3, 2]),
        TensorInfo(name: "m.biases", dtype: .f16, shape: [3, 2]),
      ])
    #expect(layout.parts(rows: 3, columns: 128).map(\.kind) == layout.partKinds)
  }

  @Test(arguments: QuantizedLayout.codeWidths)
  func `finds the shape of the weights behind stored codes`(bits: Int) {
    let layout = QuantizedLayout.affine(bits: bits, groupSize: 32)
    let codes = layout.tensors(of: "m", rows: 5, columns: 96, tables: .f32)[0]
    #expect(layout.shape(ofStored: codes) == [5, 96])
    #expect(layout.weightCount(ofStored: codes) == 5 * 96)
  }

  @Test func `has no columns for words that are no whole groups, or too many`() {
    let layout = QuantizedLayout.affine(bits: 2, groupSize: 64)
    #expect(layout.columnCount(wordCount: 4) == 64)
    #expect(layout.columnCount(wordCount: 5) == nil)
    #expect(layout.columnCount(wordCount: Int.max) == nil)
  }

  @Test func `fits only whole groups that fill words`() {
    #expect(!QuantizedLayout.affine(bits: 2, groupSize: 64).fits(columns: 96))
    #expect(!QuantizedLayout.affine(bits: 3, groupSize: 8).fits(columns: 8))
    #expect(QuantizedLayout.affine(bits: 4, groupSize: 8).fits(columns: 8))
  }

  @Test(arguments: [(7, 64), (0, 64), (2, 0), (2, -1), (2, Int.max)])
  func `tells what is wrong with its numbers`(bits: Int, groupSize: Int) {
    #expect(QuantizedLayout.affine(bits: bits, groupSize: groupSize).problem != nil)
  }

  @Test func `names the tensors of super-blocks`() {
    #expect(
      QuantizedLayout.superBlock(.q2K).tensors(of: "m", rows: 3, columns: 512, tables: .f32) == [
        TensorInfo(name: "m.weight", dtype: .u32, shape: [3, 32]),
        TensorInfo(name: "m.block_steps", dtype: .u8, shape: [3, 32]),
        TensorInfo(name: "m.block_factors", dtype: .f16, shape: [3, 4]),
      ])
    let layout = QuantizedLayout.superBlock(.q3K)
    #expect(layout.fits(columns: 256) && !layout.fits(columns: 384))
    #expect(layout.columnCount(wordCount: 24) == 256 && layout.columnCount(wordCount: 36) == nil)
    #expect(layout.tensors(of: "m", rows: 1, columns: 256, tables: .f32)[2].shape == [1, 1])
  }

  @Test func `points of a lattice take 16 or 18 bits for 8 columns`() {
    for (kind, words) in [(SuperBlock.iq2XS, 16), (.iq2S, 18)] {
      let layout = QuantizedLayout.superBlock(kind)
      let tensors = layout.tensors(of: "m", rows: 3, columns: 512, tables: .f32)
      #expect(tensors.map(\.shape) == [[3, 2 * words], [3, 16], [3, 2]])
      #expect(layout.shape(ofStored: tensors[0]) == [3, 512])
      #expect(layout.weightCount(ofStored: tensors[0]) == 3 * 512)
      #expect(layout.fits(columns: 256) && !layout.fits(columns: 128))
      #expect(layout.columnCount(wordCount: words + 1) == nil && layout.columnCount(wordCount: .max) == nil)
      #expect(layout.bits == 2 && layout.codeBits == 8)
    }
  }

  @Test func `counts the bits of a weight with its tables`() {
    for (kind, bits) in [
      (SuperBlock.q2K, 2.625), (.q3K, 3.4375), (.q4K, 4.5), (.iq2XS, 2.3125), (.iq2S, 2.5625),
    ] {
      #expect(QuantizedLayout.superBlock(kind).bitsPerWeight(tables: .f32) == bits)
    }

    #expect(QuantizedLayout.affine(bits: 2, groupSize: 64).bitsPerWeight(tables: .f16) == 2.5)
    #expect(QuantizedLayout.affine(bits: 4, groupSize: 32).bitsPerWeight(tables: .f32) == 6)
  }
}
