import Checkpoints
import Passes
import Reports
import TestSupport
import Testing

@Suite struct TableHistogramsTests {
  @Test func `codes and groups of a real output are counted`() throws {
    let run = try SampleRun { $0 = [.quantize(QuantizeOptions { $0.ignore = [] })] }
    let tables = try #require(try TableHistograms(of: Checkpoint.open(path: run.output)))
    let width = try #require(tables.widths.first)
    // Four layers: q and o 128 x 128, k and v 64 x 128, and three matrices of 384 x 128.
    let weights = 4 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128)
    #expect(tables.widths.count == 1 && width.bits == 2)
    #expect(width.codes.count == 4 && width.codes.reduce(0, +) == weights)
    #expect(width.kinds.count == 7 && width.kinds.reduce(0) { $0 + $1.codes.reduce(0, +) } == weights)
    #expect(width.scales.total == weights / 64 && width.zeros.total == weights / 64)
  }

  @Test func `a checkpoint without packed weights has none`() throws {
    let folder = try TemporaryFolder()
    #expect(try TableHistograms(of: TinyModel().write(to: folder.path("model"))) == nil)
  }

  @Test func `values outside of a histogram count at its ends`() {
    var histogram = Histogram(over: 0...4, count: 4)
    for value in [-1, 0, 0.5, 1, 3.9, 4, 100, .infinity, -.infinity, .nan] { histogram.add(value) }
    #expect(histogram.counts == [4, 1, 0, 4])
    #expect(histogram.middle(0) == 0.5 && histogram.width == 1)
  }
}
