import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

/// A run that was stopped goes on after its last finished step, to the same bytes.
@Suite(.serialized) struct ResumeTests {
  private static let workFolder = ".out.rilq.partial"
  /// The state of the calibration, the third step.
  private static let state = workFolder + "/state-2"
  private static let convert = ["convert", "recipe.yaml", "--threads", "2"]
  private let folder: TemporaryFolder
  /// What a run that nobody stops writes.
  private let expected: [UInt8]

  init() throws {
    folder = try folderWithFixture()
    try writeFullRecipe(to: folder, updates: 10)
    try #require(try Program(Self.convert, in: folder).wait().code == 0)
    expected = try folder.read("out.rilq")
    try FileManager.default.removeItem(atPath: folder.path("out.rilq"))
  }

  private func resume(_ arguments: String...) throws -> Program.Result {
    try Program(Self.convert + ["--resume"] + arguments, in: folder).wait()
  }

  /// Kills a run within its third step, the calibration, before it has kept a state.
  private func killAfterSecondStep() throws {
    try kill(Self.convert, at: "calibrate:1")
    let journal = String(decoding: try folder.read(Self.workFolder + "/journal"), as: UTF8.self)
    try #require(journal.contains("{\"index\":1,"))
  }

  /// Kills a run when its calibration has kept the state after five updates, and has logged two more.
  private func killInsideCalibration(_ arguments: String...) throws {
    try kill(Self.convert + ["--resume"] + arguments, at: "calibrate:8")
    try #require(FileManager.default.fileExists(atPath: folder.path(Self.state)))
  }

  private func kill(_ arguments: [String], at moment: String) throws {
    let program = try Program(arguments, in: folder, stoppingAfter: moment)
    try program.waitUntilStopped()
    program.send(SIGKILL)
    try #require(try program.wait().code == nil)
  }

  private static let seed: UInt64 = 23

  @Test
  func `killed at 25 random moments the target is untouched or whole, and it goes on to the same bytes`()
    throws
  {
    var random = SplitMix64(seed: Self.seed)
    // Follows the time that a run takes: longer after a run that was killed, shorter after one that ended before.
    var longest = 1_000_000.0
    var (killed, attempt) = (0, 0)
    while killed < 25 {
      attempt += 1
      let program = try Program(Self.convert + ["--resume"], in: folder)
      usleep(UInt32(Double.random(in: 0...longest, using: &random)))
      program.send(SIGKILL)
      let wasKilled = try program.wait().code == nil
      if wasKilled { killed += 1 }
      longest *= wasKilled ? 1.2 : 0.6
      if attempt % 5 == 0, try !folder.names().contains("out.rilq") {
        let result = try resume()
        try #require(result.code == 0, "seed \(Self.seed), attempt \(attempt): \(result.error)")
      }
      if try folder.names().contains("out.rilq") {
        try #require(try folder.read("out.rilq") == expected, "seed \(Self.seed), attempt \(attempt)")
        try FileManager.default.removeItem(atPath: folder.path("out.rilq"))
      }
    }
  }

  @Test func `takes over the finished steps with their reports`() throws {
    try killAfterSecondStep()
    let result = try resume("--json")
    #expect(result.code == 0, "\(result.error)")
    let passes = try #require(try JSONValue(parsing: Array(result.output.utf8))["passes"]?.array)
    #expect(passes.map { $0["resumed"]?.bool ?? false } == [true, true, false, false, false])
    #expect(passes[0]["modules"]?.integer == 28)
    #expect(passes[4]["passed"]?.bool == true)
    #expect(try folder.read("out.rilq") == expected)
    #expect(
      try folder.names() == ["model", "out.rilq", "out.rilq.results.json", "recipe.yaml", "text.txt"])
  }

  @Test func `a calibration that was killed goes on with its optimizer, to the same bytes`() throws {
    try killInsideCalibration("--log", "log")
    let result = try resume("--json", "--log", "log")
    #expect(result.code == 0, "\(result.error)")
    let passes = try #require(try JSONValue(parsing: Array(result.output.utf8))["passes"]?.array)
    #expect(passes[2]["resumed_at_update"]?.integer == 5)
    #expect(passes[2]["updates"]?.integer == 10)
    #expect(try folder.read("out.rilq") == expected)
    let lines = try folder.read("log").split(separator: UInt8(ascii: "\n"))
    let updates = try lines.map { try JSONValue(parsing: Array($0))["update"]?.integer }
    #expect(updates == Array(0...10))
  }

  @Test(.enabled(if: ProductOperands.bf16.onThisProcessor == .bf16))
  func `so does one with products of bf16`() throws {
    let products = "passes.2.calibrate.products=bf16"
    try #require(try Program(Self.convert + ["--set", products], in: folder).wait().code == 0)
    let rounded = try folder.read("out.rilq")
    #expect(rounded != expected)
    try FileManager.default.removeItem(atPath: folder.path("out.rilq"))
    try killInsideCalibration("--set", products)
    let result = try resume("--set", products, "--json")
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output.contains("\"resumed_at_update\": 5"))
    #expect(try folder.read("out.rilq") == rounded)
  }

  /// What is done to the bytes of a state; each leaves something that is not what was written.
  enum Damage: CaseIterable {
    case cutShort, emptied, oneBit, notNumbers

    func apply(to bytes: inout [UInt8]) {
      switch self {
      case .cutShort: bytes.removeLast()
      case .emptied: bytes = []
      case .oneBit: bytes[bytes.count / 2] ^= 1
      case .notNumbers: for i in bytes.count - 4000..<bytes.count - 4 { bytes[i] = 0xFF }
      }
    }
  }

  @Test(arguments: Damage.allCases)
  func `a state that was damaged is refused, and the run can begin anew`(damage: Damage) throws {
    try killInsideCalibration()
    var state = try folder.read(Self.state)
    damage.apply(to: &state)
    try folder.write(Self.state, state)
    let refused = try resume()
    #expect(refused.code == 2, "\(refused.error)")
    #expect(
      refused.error.contains("kept state: is damaged"), "\(refused.error)")
    let anew = try Program(Self.convert, in: folder).wait()
    #expect(anew.code == 0, "\(anew.error)")
    #expect(try folder.read("out.rilq") == expected)
  }

  @Test func `with nothing to go on with it simply runs`() throws {
    #expect(try resume().code == 0)
    #expect(try folder.read("out.rilq") == expected)
  }

  @Test func `without --resume it begins anew`() throws {
    try killAfterSecondStep()
    let result = try Program(Self.convert + ["--json"], in: folder).wait()
    #expect(result.code == 0)
    #expect(!result.output.contains("resumed"))
    #expect(try folder.read("out.rilq") == expected)
  }

  /// Something that is different when a run is to go on.
  struct Change: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let reason: String
    var arguments: [String] = []
    var file: String?
  }

  private static let changes = [
    Change(
      testDescription: "recipe", reason: "'passes.0.quantize.bits' is 4 now, it was 2",
      arguments: ["--set", "passes.0.quantize.bits=4"]),
    Change(
      testDescription: "compression", reason: "'--compression' is none now, it was zstd:3",
      arguments: ["--compression", "none"]),
    Change(
      testDescription: "weights", reason: "the input 'model/model-00003-of-00003.safetensors' has changed",
      file: "model/model-00003-of-00003.safetensors"),
    Change(testDescription: "text", reason: "the input 'text.txt' has changed", file: "text.txt"),
  ]

  @Test(arguments: changes)
  func `refuses to go on when something has changed, and keeps what is there`(change: Change) throws {
    try killAfterSecondStep()
    if let file = change.file {
      var contents = try folder.read(file)
      contents[contents.count - 1] ^= 1
      try folder.write(file, contents)
    }
    let before = try FileManager.default.contentsOfDirectory(atPath: folder.path(Self.workFolder)).sorted()
    let result = try Program(Self.convert + ["--resume"] + change.arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(result.error.hasPrefix("rilq: --resume: " + change.reason), "\(result.error)")
    #expect(result.error.hasSuffix("; without --resume the run begins anew\n"))
    #expect(result.error.split(separator: "\n").count == 1)
    let after = try FileManager.default.contentsOfDirectory(atPath: folder.path(Self.workFolder)).sorted()
    #expect(after == before)
  }

  @Test func `goes on when the inputs were copied again`() throws {
    try killAfterSecondStep()
    for file in ["text.txt", "model/model-00003-of-00003.safetensors"] {
      let contents = try folder.read(file)
      try FileManager.default.removeItem(atPath: folder.path(file))
      try folder.write(file, contents)
    }
    let result = try Program(Self.convert + ["--resume", "--json"], in: folder).wait()
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output.contains("\"resumed\": true"))
    #expect(try folder.read("out.rilq") == expected)
  }

  @Test func `refuses to go on with what another version did`() throws {
    try killAfterSecondStep()
    let journal = Self.workFolder + "/journal"
    let text = String(decoding: try folder.read(journal), as: UTF8.self)
    try folder.write(
      journal, text.replacing(/"version":"[^"]*"/, with: "\"version\":\"0.0.1\"", maxReplacements: 1))
    let result = try resume()
    #expect(result.code == 64)
    #expect(result.error.contains("now, it was 0.0.1"), "\(result.error)")
  }

  @Test func `a journal that was cut short ends at its last whole line`() throws {
    try killAfterSecondStep()
    let journal = Self.workFolder + "/journal"
    try folder.write(journal, try folder.read(journal).dropLast(7))
    let result = try resume("--json")
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output.split(separator: "\"resumed\": true").count == 2)
    #expect(try folder.read("out.rilq") == expected)
  }

  @Test func `a step whose file is not what was written is done again`() throws {
    try killAfterSecondStep()
    try folder.write(Self.workFolder + "/step-0.rilq", "damaged")
    let result = try resume("--json")
    #expect(result.code == 0, "\(result.error)")
    #expect(!result.output.contains("resumed"))
    #expect(try folder.read("out.rilq") == expected)
  }

  @Test func `a run that fails keeps its finished steps when it may be resumed`() throws {
    let arguments = [
      "--set", "passes.4.verify.max_mean_kl=0", "--set", "passes.4.verify.against=input", "--resume",
    ]
    for isSecond in [false, true] {
      let result = try Program(Self.convert + arguments, in: folder).wait()
      #expect(result.code == 1)
      #expect(result.error.contains("rilq: finished steps are kept for --resume\n"), "\(isSecond)")
      #expect(FileManager.default.fileExists(atPath: folder.path(Self.workFolder + "/output")))
    }
  }
}
