import Checkpoints
import Foundation
import Models
import Passes
import TestSupport
import Testing

@Suite struct CalibrationWindowTests {
  private static let calibration = Fixtures.path("tiny-llama/calibration.txt")
  private static let evaluation = Fixtures.path("tiny-llama/evaluation.txt")
  private static let length = 64

  private func tokenizer() throws -> Tokenizer {
    try Tokenizer(contentsOf: Fixtures.path("tiny-llama/tokenizer.json"))
  }

  private func cut(_ path: String, length: Int = length) throws -> [[Int32]] {
    try Models.windows(of: try tokenizer().encode(contentsOf: path), length: length, path: path)
  }

  private func source(_ change: (inout WindowSource) -> Void = { _ in }) -> WindowSource {
    var source = WindowSource(texts: [Self.calibration], samples: 6, length: Self.length, seed: 5)
    change(&source)
    return source
  }

  /// A recipe must give the same windows in every version: the numbers are those of the first one.
  @Test func `the windows of one text are those they have always been`() throws {
    let drawn = try fixtureWindows(source { $0.validation = 2 }, in: TemporaryFolder())
    let all = try cut(Self.calibration)
    let places = drawn.tokens.map { all.firstIndex(of: $0) }
    #expect(places == [26, 118, 256, 300, 338, 351, 618, 634])
    #expect(drawn.training.count == 6 && drawn.validation.count == 2)
    #expect(drawn.all.allSatisfy { $0.isScored == nil })
  }

  @Test func `texts share the windows, the first one has the rest`() throws {
    let drawn = try fixtureWindows(
      source {
        $0.texts = [Self.calibration, Self.evaluation]
        $0.samples = 7
        $0.validation = 3
      }, in: TemporaryFolder())
    let (first, second) = (Set(try cut(Self.calibration)), Set(try cut(Self.evaluation)))
    #expect(drawn.training.count { first.contains($0.tokens) } == 4)
    #expect(drawn.training.count { second.contains($0.tokens) } == 3)
    #expect(drawn.validation.count { first.contains($0.tokens) } == 2)
    #expect(drawn.validation.count { second.contains($0.tokens) } == 1)
    // Evenly mixed: one after the other where there are nearly as many.
    #expect(
      drawn.training.map { first.contains($0.tokens) } == [true, false, true, false, true, false, true])
    #expect(Set(drawn.tokens).count == 10)
  }

  /// Two parts of a text that have no window in common.
  private func halves(in folder: TemporaryFolder) throws -> [String] {
    let bytes = try [UInt8](Data(contentsOf: URL(filePath: Self.calibration)))
    let middle = bytes.count / 2
    return [
      try folder.write("first.txt", Array(bytes[..<middle])),
      try folder.write("second.txt", Array(bytes[middle...])),
    ]
  }

  @Test(arguments: [
    ([1, 1, 1], [5, 4, 4], [2, 1, 1]), ([7, 7, 7], [5, 4, 4], [2, 1, 1]),
    ([4, 2, 1], [8, 3, 1], [4, 1, 0]),
  ])
  func `texts share the windows by their shares, rounded down; the first one has the rest`(
    shares: [Int], training: [Int], validation: [Int]
  ) throws {
    let folder = try TemporaryFolder()
    let paths = [Self.evaluation] + (try halves(in: folder))
    let count = training.reduce(0, +)
    let drawn = try fixtureWindows(
      source {
        $0.texts = TextList(zip(paths, shares).map { ($0, $1) })
        ($0.samples, $0.validation) = (count, validation.reduce(0, +))
      }, in: folder)
    let cuts = try paths.map { Set(try cut($0)) }
    #expect(cuts.map { cut in drawn.training.count { cut.contains($0.tokens) } } == training)
    #expect(cuts.map { cut in drawn.validation.count { cut.contains($0.tokens) } } == validation)
  }

  /// `calibrate` takes the windows in their order and begins again after the last one.
  @Test(arguments: [([1, 1, 1], 4), ([4, 2, 1], 8)])
  func `every update has windows of all texts`(shares: [Int], batch: Int) throws {
    let folder = try TemporaryFolder()
    let paths = [Self.evaluation] + (try halves(in: folder))
    let drawn = try fixtureWindows(
      source {
        $0.texts = TextList(zip(paths, shares).map { ($0, $1) })
        $0.samples = 70
      }, in: folder)
    let cuts = try paths.map { Set(try cut($0)) }
    for first in drawn.training.indices {
      let update = (first..<first + batch).map { drawn.training[$0 % drawn.training.count].tokens }
      let counts = cuts.map { cut in update.count { cut.contains($0) } }
      #expect(counts.allSatisfy { $0 > 0 }, "\(counts) from window \(first)")
    }
  }

  @Test func `JSON lines are joined by the token that ends a text`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "text.jsonl", "{\"text\": \"In the beginning\"}\r\n{\"id\": 7, \"text\": \"And the earth\\n\"}\n")
    let tokenizer = try tokenizer()
    let expected = tokenizer.encode("In the beginning") + [1] + tokenizer.encode("And the earth\n") + [1]
    let drawn = try fixtureWindows(
      source {
        $0.texts = [path]
        $0.samples = 1
        $0.length = expected.count
      }, in: folder)
    #expect(drawn.tokens == [expected])
  }

  @Test func `without a token that ends a text JSON lines follow each other`() throws {
    let bench = try Workbench()
    let path = try bench.folder.write("text.jsonl", "{\"text\": \"In the\"}\n{\"text\": \"earth was\"}")
    let expected = try tokenizer().encode("In the") + tokenizer().encode("earth was")
    let drawn = try fixtureWindows(
      source {
        $0.texts = [path]
        $0.samples = 1
        $0.length = expected.count
      }, in: bench.folder, input: bench.input)
    #expect(drawn.tokens == [expected])
  }

  @Test(arguments: [
    ("", "has no line"), ("{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n", "line 2: "),
    ("{\"text\": \"a\"}\n[]\n", "line 2: is not an object"),
    ("{\"text\": \"a\"}\n{\"tex\": \"b\"}", "line 2: has no 'text'"),
    ("{\"text\": 7}", "line 1: 'text' is not a text"),
    (
      "{\"text\": \"a\"}\n{\"text\": \"b\"} x",
      "line 2: there is text after the end of the value, at byte 14 of the line"
    ),
    ("{\"text\": \"a\", \"text\": \"b\"}", "line 1: "),
    (
      "{\"messages\": []}",
      "line 1: has 'messages', whose chat template is not known; give 'prompt' and 'completion'"
    ), ("{\"prompt\": \"a\", \"completion\": \"b\"}", "line 1: has no 'text'"),
  ])
  func `refuses malformed JSON lines`(text: String, expected: String) throws {
    #expect(try windowError(text).hasPrefix("text.jsonl: " + expected))
  }

  @Test func `refuses JSON lines that are not UTF-8`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("text.jsonl", Array("{\"text\": \"".utf8) + [0xFF] + Array("\"}".utf8))
    let text = message { _ = try fixtureWindows(source { $0.texts = [path] }, in: folder) }
    #expect(text.hasPrefix(path + ": line 1: "))
  }

  @Test func `refuses a line beyond the limit`() throws {
    let text = "{\"text\": \"a\"}\n{\"text\": \"" + String(repeating: "a", count: 16 << 20) + "\"}\n"
    #expect(try windowError(text).says("text.jsonl: line 2: … 16777228 … 16777216 …"))
  }

  @Test func `one text that is too short is named`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("short.txt", "In the beginning")
    #expect(throws: ModelError.textTooShort(path: path, tokens: 7, needed: 3 * Self.length)) {
      try fixtureWindows(source { $0.texts = [Self.calibration, path] }, in: folder)
    }
  }

  @Test func `says how many windows a text that is too short has`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("short.txt", "In the beginning")
    let text = message {
      _ = try fixtureWindows(source { ($0.texts, $0.samples, $0.length) = ([path], 5, 3) }, in: folder)
    }
    #expect(text == path + ": has 7 tokens, its windows need 15; 2 of them would fit")
  }

  @Test(arguments: [false, true])
  func `a text that is too short for a later pass is found before the first one runs`(attaches: Bool) throws {
    // The first pass would refuse the weight.
    let bench = try Workbench { tensor, values in
      if tensor == "model.layers.0.mlp.down_proj.weight" { values[0] = .infinity }
    }
    let path = try bench.folder.write("short.txt", "In the beginning")
    let text = PathOption(path)
    let later: PassOptions =
      attaches
      ? .attach(
        AttachOptions {
          $0.kind = .dense
          $0.initialization = .qera
          $0.text = text
          $0.samples = 2
          $0.length = 16
        })
      : .calibrate(
        CalibrateOptions {
          $0.texts = [text]
          $0.samples = 2
          $0.length = 16
          $0.validation = 0
        })
    #expect(throws: ModelError.textTooShort(path: path, tokens: 7, needed: 2 * 16)) {
      try bench.run(.quantize(QuantizeOptions()), later)
    }
    #expect(try bench.folder.names() == ["model", "short.txt"])
  }
}
