import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite(.serialized) struct SampledWindowTests {
  private static let calibration = Fixtures.path("tiny-llama/calibration.txt")

  private func source(_ change: (inout WindowSource) -> Void = { _ in }) -> WindowSource {
    var source = WindowSource(texts: [], samples: 4, sampled: 4, length: 16, seed: 5)
    change(&source)
    return source
  }

  @Test func `the model writes windows from the beginning of a text`() throws {
    let windows = try fixtureWindows(source { $0.validation = 2 }, in: TemporaryFolder())
    #expect(windows.training.count == 4 && windows.validation.count == 2)
    #expect(windows.tokens.allSatisfy { $0.count == 16 && $0[0] == 0 })
    #expect(Set(windows.tokens).count == 6)
  }

  @Test func `they are mixed evenly with those of a text, which are the same as without them`() throws {
    let folder = try TemporaryFolder()
    let mixed = try fixtureWindows(
      source {
        $0.texts = [Self.calibration]
        $0.samples = 6
        $0.sampled = 3
      }, in: folder)
    let text = try fixtureWindows(
      source {
        $0.texts = [Self.calibration]
        $0.samples = 3
        $0.sampled = 0
      }, in: folder)
    let written = try fixtureWindows(source(), in: folder)
    #expect(
      mixed.tokens
        == zip(text.tokens, written.tokens).flatMap { [$0, $1] })
  }

  @Test func `they are the same on any number of threads`() throws {
    let all = try [1, 3].map { count in
      try ThreadLimit.with(count) { try fixtureWindows(source(), in: TemporaryFolder()).tokens }
    }
    #expect(all[0] == all[1])
  }

  /// What a file in the work folder says is believed, so a changed one shows that it was read.
  private func reusesKeptWindows(_ change: (inout WindowSource) -> Void) throws -> Bool {
    let folder = try TemporaryFolder()
    let windows = try fixtureWindows(source(), in: folder).tokens
    var bytes = try folder.read("sampled.tokens")
    let first = try #require(bytes.firstIndex(of: UInt8(ascii: "\n"))) + 1
    bytes[first] = 7
    try folder.write("sampled.tokens", bytes)
    let again = try fixtureWindows(source(change), in: folder).tokens
    #expect(try folder.names() == ["sampled.tokens"])
    return again[0][0] == 7 && windows[0].dropFirst().starts(with: again[0].dropFirst())
  }

  @Test func `a later pass takes windows from the file, also fewer, shorter and more ones`() throws {
    #expect(try reusesKeptWindows { _ in })
    #expect(try reusesKeptWindows { $0.validation = 1 })
    #expect(
      try reusesKeptWindows {
        $0.samples = 2
        $0.sampled = 2
        $0.length = 12
      })
  }

  @Test func `other windows are written anew`() throws {
    #expect(
      try reusesKeptWindows { $0.products = .bf16 } == (ProductOperands.bf16.onThisProcessor == .f32))
    #expect(try !reusesKeptWindows { $0.seed = 6 })
    #expect(try !reusesKeptWindows { $0.length = 17 })
  }

  /// The tokens that are generated when a pass requests windows.
  private func generatedCount(_ source: WindowSource, in folder: TemporaryFolder, later: [WindowSource] = [])
    throws -> Int
  {
    var count = 0
    _ = try fixtureWindows(source, in: folder, later: later) { count = $0.completed }
    return count
  }

  @Test func `a pass generates only what earlier passes have not`() throws {
    let folder = try TemporaryFolder()
    #expect(try generatedCount(source(), in: folder) == 4 * 15)
    #expect(try generatedCount(source(), in: folder) == 0)
    let more = source {
      $0.samples = 6
      $0.sampled = 6
      $0.length = 10
    }
    #expect(try generatedCount(more, in: folder) == 2 * 9)
    #expect(try generatedCount(source { $0.length = 17 }, in: folder) == 4 * 16)
    #expect(try generatedCount(source { $0.seed = .max }, in: folder) == 4 * 15)
    #expect(try generatedCount(source { $0.seed = .max }, in: folder) == 0)
    #expect(try generatedCount(source(), in: folder) == 0)
  }

  @Test func `windows of later passes are generated with the first ones, and are the same`() throws {
    let folder = try TemporaryFolder()
    let later = [
      source {
        $0.samples = 6
        $0.sampled = 6
        $0.length = 12
      }, source { $0.seed = 6 },
    ]
    // Two windows of the first of them begin where the others end, at 4.
    #expect(try generatedCount(source(), in: folder, later: later) == 4 * 15 + 2 * 11 + 4 * 15)
    for source in [source()] + later {
      #expect(try generatedCount(source, in: folder) == 0)
      let alone = try fixtureWindows(source, in: TemporaryFolder()).tokens
      #expect(try fixtureWindows(source, in: folder).tokens == alone)
    }
  }

  @Test(arguments: [0, 5, 40])
  func `what is left of a file that was damaged is written anew`(kept: Int) throws {
    let folder = try TemporaryFolder()
    let windows = try fixtureWindows(source(), in: folder).tokens
    let bytes = try folder.read("sampled.tokens")
    try folder.write("sampled.tokens", [7] + bytes.prefix(kept))
    #expect(try fixtureWindows(source(), in: folder).tokens == windows)
    try folder.write("sampled.tokens", bytes.dropLast(kept + 1))
    #expect(try fixtureWindows(source(), in: folder).tokens == windows)
    #expect(try folder.read("sampled.tokens") == bytes)
  }

  @Test func `more windows begin with those there were`() throws {
    let few = try fixtureWindows(source(), in: TemporaryFolder()).tokens
    let many = try fixtureWindows(
      source {
        $0.samples = 70
        $0.sampled = 70
      }, in: TemporaryFolder()
    ).tokens
    #expect(Array(many.prefix(4)) == few)
  }

  @Test func `a model without a token to begin with is refused`() throws {
    let bench = try Workbench()
    let text = message { _ = try fixtureWindows(source(), in: bench.folder, input: bench.input) }
    #expect(text.says("\(bench.input.path): … no token … 'sampled' …"))
  }

  @Test func `a recipe without any text quantizes and calibrates`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantize = QuantizeOptions {
      $0.method = .gptq
      $0.samples = 8
      $0.length = 32
      $0.sampled = 8
    }
    let calibrate = CalibrateOptions {
      $0.samples = 6
      $0.length = 32
      $0.updates = 2
      $0.batch = 2
      $0.learningRate = 1e-3
      $0.validation = 2
      $0.sampled = 6
    }
    let result = try bench.run(.quantize(quantize), .calibrate(calibrate))
    #expect(result["updates"] == .integer(2))
    #expect(try bench.folder.names() == ["out.rilq"])
  }

  @Test func `the windows of all passes of a recipe are generated once, before the first one`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantize = QuantizeOptions {
      $0.method = .gptq
      $0.samples = 4
      $0.length = 32
      $0.sampled = 4
      $0.products = .bf16
    }
    let verify = VerifyOptions {
      $0.sampled = 3
      $0.window = 20
      $0.seed = 2
      $0.against = .input
      $0.maxMeanKL = 100
    }
    var generated: [Progress] = []
    try bench.run(.quantize(quantize), .verify(verify), .verify(verify)) {
      if $0.phase == "sample" { generated.append($0) }
    }
    #expect(generated.first?.completed == 7)
    #expect(generated.last?.completed == 4 * 31 + 3 * 19 && generated.count == 31)
  }
}
