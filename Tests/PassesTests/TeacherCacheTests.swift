import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite(.serialized) struct TeacherCacheTests {
  private static let windows: [[Int32]] = [[0, 5, 9], [0, 7, 300, 12]]

  /// Makes a cache in a folder, and says whether it was computed.
  private func make(
    _ windows: [[Int32]], _ operands: ProductOperands = .f32, in folder: TemporaryFolder
  ) throws -> (cache: TeacherCache, isComputed: Bool, kept: [String]) {
    let checkpoint = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    var teacher = try Transformer(checkpoint)
    teacher.operands = operands
    var isComputed = false
    var kept: [String] = []
    let cache = try TeacherCache(
      teacher: teacher, of: checkpoint, windows: windows,
      work: WorkFiles(path: folder.path) { kept.append($0) }
    ) { _ in isComputed = true }
    return (cache, isComputed, kept)
  }

  @Test func `has the hidden states of each window`() throws {
    let folder = try TemporaryFolder()
    let (cache, isComputed, kept) = try make(Self.windows, in: folder)
    #expect(isComputed && kept == ["teacher.f32"])
    #expect(try folder.names() == ["teacher.f32"])
    let model = try Transformer(Checkpoint.open(path: Fixtures.path("tiny-llama")))
    let rotary = model.rotaryTables(positions: 4)
    for (index, window) in Self.windows.enumerated() {
      #expect(cache.hidden(index) == (try model.finalHidden(window, rotary: rotary)).values)
    }
  }

  @Test func `takes them from the file when they are for the same windows`() throws {
    let folder = try TemporaryFolder()
    let first = try make(Self.windows, in: folder).cache
    let second = try make(Self.windows, in: folder)
    #expect(!second.isComputed)
    #expect(second.cache.hidden(1) == first.hidden(1))
    // As many tokens, cut elsewhere, and other tokens.
    #expect(try make([[0, 5, 9, 0], [7, 300, 12]], in: folder).isComputed)
    #expect(try make([[0, 5, 9], [0, 7, 300, 13]], in: folder).isComputed)
  }

  @Test func `computes them anew for products of other operands`() throws {
    let folder = try TemporaryFolder()
    let exact = try make(Self.windows, in: folder).cache.hidden(1)
    let rounded = try make(Self.windows, .bf16, in: folder)
    let differs = ProductOperands.bf16.onThisProcessor == .bf16
    #expect(rounded.isComputed == differs)
    #expect((rounded.cache.hidden(1) != exact) == differs)
    #expect(relativeError(rounded.cache.hidden(1), exact) < 0.02)
  }

  @Test(arguments: [0, 1, 40])
  func `computes them anew when the file is damaged`(dropped: Int) throws {
    let folder = try TemporaryFolder()
    let first = try make(Self.windows, in: folder).cache.hidden(0)
    let bytes = try folder.read("teacher.f32")
    let digestChanged = bytes.dropLast() + [bytes[bytes.count - 1] ^ 1]
    try folder.write("teacher.f32", Array(dropped == 0 ? digestChanged : bytes.dropLast(dropped)))
    let again = try make(Self.windows, in: folder)
    #expect(again.isComputed && again.cache.hidden(0) == first)
    #expect(try folder.read("teacher.f32") == bytes)
  }
}
