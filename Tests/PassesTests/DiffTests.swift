import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct DiffTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func difference(
    _ first: SmallCheckpoint, _ second: SmallCheckpoint, tolerance: Double = 0
  ) throws -> CheckpointDifference {
    try CheckpointDifference(
      first.open(in: folder, named: "a.rilq"), second.open(in: folder, named: "b.rilq"), tolerance: tolerance)
  }

  private func difference(_ first: [Float], _ second: [Float], tolerance: Double = 0) throws
    -> CheckpointDifference
  {
    var checkpoints = (SmallCheckpoint(), SmallCheckpoint())
    checkpoints.0.add("x", first)
    checkpoints.1.add("x", second)
    return try difference(checkpoints.0, checkpoints.1, tolerance: tolerance)
  }

  @Test func `measures errors of one tensor`() throws {
    let values = try #require(try difference([3, 4, 0], [3, 4, 5]).pairs.first?.values)
    #expect(values.maxError == 5)
    #expect(values.meanError == 5.0 / 3)
    #expect(values.relativeError == 1)
    #expect(abs(values.cosine - 0.5.squareRoot()) < 1e-15)
    #expect(values.differingCount == 1)
  }

  @Test(arguments: [(0, false), (0.9, false), (1, true)])
  func `applies the tolerance`(tolerance: Double, isWithin: Bool) throws {
    #expect(try difference([3, 4, 0], [3, 4, 5], tolerance: tolerance).isWithinTolerance == isWithin)
  }

  @Test func `asks for the same bits without a tolerance, but any NaN equals any other`() throws {
    #expect(try !difference([0], [-0.0]).isWithinTolerance)
    #expect(try difference([.nan, 1], [.signalingNaN, 1]).isWithinTolerance)
  }

  @Test func `never tolerates an infinity in the place of a number`() throws {
    #expect(try !difference([1, 2], [1, .infinity], tolerance: 1e9).isWithinTolerance)
    #expect(try difference([1, .infinity], [1.5, .infinity], tolerance: 0.5).isWithinTolerance)
  }

  @Test func `compares a packed weight with the same values dense`() throws {
    let codes = (0..<32).map { UInt8($0 % 4) }
    var (packed, dense) = (SmallCheckpoint(), SmallCheckpoint())
    packed.addPacked("m", codes: codes, scale: 0.5, bias: -1)
    dense.add("m.weight", codes.map { Float($0) * 0.5 - 1 }, shape: [1, 32])
    let result = try difference(packed, dense)
    #expect(result.isWithinTolerance)
    #expect(result.text() == "equal: 1 tensor equal")
    #expect(result.pairs.first?.first.storage == "2 bits, groups of 32")
  }

  @Test func `finds a packed weight equal to itself, and no other`() throws {
    func packed(_ change: Int = 0, scale: Float = 0, bias: Float = -1) -> SmallCheckpoint {
      var checkpoint = SmallCheckpoint()
      let codes = (0..<32).map { UInt8(($0 + ($0 < change ? 1 : 0)) % 4) }
      checkpoint.addPacked("m", codes: codes, scale: scale, bias: bias)
      return checkpoint
    }
    let same = try #require(try difference(packed(), packed()).pairs.first?.values)
    #expect(same.count == 32 && same.differingCount == 0)
    let scaled = try #require(try difference(packed(scale: 1), packed(1, scale: 1)).pairs.first?.values)
    #expect(scaled.differingCount == 1 && scaled.maxError == 1)
    // Every code of a scale of 0 gives the bias.
    #expect(try difference(packed(), packed(32)).isWithinTolerance)
    #expect(try !difference(packed(bias: 0), packed(bias: 1)).isWithinTolerance)
  }

  @Test func `finds the same bytes of different dtypes different`() throws {
    var (first, second) = (SmallCheckpoint(), SmallCheckpoint())
    first.add("x", .bf16, [2], [0, 0x3C, 0, 0])
    second.add("x", .f16, [2], [0, 0x3C, 0, 0])
    let values = try #require(try difference(first, second).pairs.first?.values)
    #expect(values.differingCount == 1 && values.maxError == 1 - 0x1p-7)
  }

  @Test func `reports names and shapes`() throws {
    var (first, second) = (SmallCheckpoint(), SmallCheckpoint())
    first.add("a\n", [1])
    first.add("shared", [1, 2])
    second.add("b", [1])
    second.add("shared", [1, 2], shape: [2, 1])
    let result = try difference(first, second, tolerance: 1)
    #expect(!result.isWithinTolerance)
    #expect(
      result.text().split(separator: "\n").map(String.init) == [
        "only in \(folder.path("a.rilq")): a\\u{a}", "only in \(folder.path("b.rilq")): b",
        "tensor  stored as     max error  mean  relative  cosine  differing", "shared  [2] | [2, 1]",
        "DIFFERENT: 0 tensors equal, 1 different, 1 beyond a relative error of 1, 2 in one checkpoint only",
      ])
  }

  @Test func `adds blocks of a large tensor`() throws {
    let values = [Float](repeating: 1, count: 150_000)
    var other = values
    other[70_000] = 2
    other[149_999] = 2
    let result = try #require(try difference(values, other).pairs.first?.values)
    #expect(result.differingCount == 2)
    #expect(result.relativeError == (2.0 / 150_000).squareRoot())
  }

  @Test func `finds the fixture equal as a folder, as a container and back`() throws {
    let original = try Checkpoint.open(path: tinyLlama)
    let packed = try convert(tinyLlama, to: folder.path("tiny.rilq"))
    let back = try convert(packed.path, to: folder.path("back"))
    for copy in [packed, back] {
      let result = try CheckpointDifference(original, copy)
      #expect(result.isWithinTolerance && result.hasSameFiles)
      #expect(result.differingMetadata == ["history"])
    }
  }

  @Test func `finds a quantized folder equal to its container, whose configuration says less`() throws {
    let packed = try convert(tinyLlama, to: folder.path("q.rilq"), passes: "[{quantize: {bits: 2}}]")
    let result = try CheckpointDifference(packed, try convert(packed.path, to: folder.path("q")))
    #expect(result.isWithinTolerance && result.hasSameFiles)
  }
}
