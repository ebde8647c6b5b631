import Checkpoints
import Foundation
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Runs that several ranks do together give the bytes of one process.
@Suite(.serialized) struct SharedRunTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private let bench: Workbench
  private let output: String

  init() throws {
    bench = try Workbench(fixture: "tiny-llama")
    output = bench.folder.path("out.rilq")
  }

  /// What a run wrote, and its reports.
  private struct Outcome: Equatable {
    let bytes: [UInt8]
    let reports: [String]
  }

  /// Runs passes on some ranks, and returns what rank 0 wrote; every rank has the same reports.
  private func run(
    _ count: Int, _ passes: [PassOptions], resumes: Bool = false, failing: (rank: Int, messages: Int)? = nil
  ) throws -> Outcome {
    let recipe = Recipe(input: PathOption(bench.input.path), output: PathOption(output), passes: passes)
    let reports = try ThreadGroup.run(count, failing: failing) { group in
      let options = Pipeline.Options(force: true, version: "0.0.0", resumes: resumes, group: group)
      return try Pipeline(recipe, options).run().passes.map { $0.report.json.withoutTimes.compactText }
    }
    for other in reports { #expect(other == reports[0]) }
    return Outcome(bytes: try bench.folder.read("out.rilq"), reports: reports[0])
  }

  private static func calibrate(_ change: (inout CalibrateOptions) -> Void = { _ in }) -> PassOptions {
    var options = CalibrateOptions {
      $0.texts = [text]
      // Windows that no multiple of the batch is, so that every rank comes to all of them.
      $0.samples = 7
      $0.sampled = 2
      $0.length = 32
      $0.updates = 6
      $0.batch = 5
      $0.learningRate = 2e-3
      $0.validation = 3
      $0.validateEvery = 2
    }
    change(&options)
    return .calibrate(options)
  }

  private static let prepared: [PassOptions] = [
    .quantize(QuantizeOptions()),
    .attach(
      AttachOptions {
        $0.kind = .pooled
        $0.rank = 4
      }),
  ]

  @Test(arguments: [[Trainable.adapter], [.bias, .scale], [.adapter, .bias, .scale]])
  func `calibration`(train: [Trainable]) throws {
    let passes =
      Self.prepared + [
        Self.calibrate {
          $0.train = train
          $0.klWeight = 0.5
        }
      ]
    let alone = try run(1, passes)
    for count in 2...4 { #expect(try run(count, passes) == alone, "\(count) ranks") }
  }

  @Test(arguments: [LossScope.linear, .layer])
  func `calibration that compares linears or layers`(scope: LossScope) throws {
    let passes = Self.prepared + [Self.calibrate { $0.scope = scope }]
    #expect(try run(3, passes) == run(1, passes))
  }

  @Test func `more ranks than windows of an update`() throws {
    let passes = Self.prepared + [Self.calibrate { $0.batch = 2 }]
    #expect(try run(4, passes) == run(1, passes))
  }

  @Test func `layerwise quantization with all that reads moments`() throws {
    let passes = [
      PassOptions.quantize(
        QuantizeOptions {
          $0.method = .gptq
          $0.texts = [Self.text]
          $0.samples = 10
          $0.sampled = 3
          $0.length = 64
          $0.refit = true
          $0.sweeps = 1
          $0.propagation = 0.5
        })
    ]
    let alone = try run(1, passes)
    for count in 2...4 { #expect(try run(count, passes) == alone, "\(count) ranks") }
  }

  @Test func `bits that sensitivity distributes`() throws {
    let passes = [
      PassOptions.quantize(
        QuantizeOptions {
          $0.method = .search
          $0.texts = [Self.text]
          $0.samples = 6
          $0.length = 64
          $0.bitsPerWeight = 3.2
        })
    ]
    #expect(try run(3, passes) == run(1, passes))
  }

  @Test func `layers that are trained, by every rank`() throws {
    let passes = [
      PassOptions.quantize(
        QuantizeOptions {
          $0.method = .search
          $0.texts = [Self.text]
          $0.samples = 4
          $0.length = 32
          $0.layerEpochs = 1
        })
    ]
    #expect(try run(2, passes) == run(1, passes))
  }

  @Test func `merge and verification`() throws {
    let verify = VerifyOptions {
      $0.text = PathOption(Fixtures.path("tiny-llama/evaluation.txt"))
      $0.window = 32
      $0.maxTokens = 32 * 11
      $0.maxMeanKL = 1e-4
    }
    let passes = Self.prepared + [Self.calibrate(), .merge(MergeOptions()), .verify(verify)]
    let alone = try run(1, passes)
    for count in [2, 4] { #expect(try run(count, passes) == alone, "\(count) ranks") }
  }

  @Test func `evaluation and comparison`() throws {
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let (original, model) = (try Transformer(bench.input), try Transformer(quantized))
    let tokens = try Tokenizer(of: bench.input).encode(contentsOf: Self.text.resolved)
    let cut = try windows(of: Array(tokens.prefix(9 * 24)), length: 24, path: "text")
    let alone = (try original.evaluate(cut), try original.compare(with: model, on: cut))
    for count in 2...4 {
      let shared = try ThreadGroup.run(count) { group in
        (
          try original.evaluate(cut, over: group),
          try original.compare(with: model, on: cut, over: group)
        )
      }
      for (evaluation, comparison) in shared {
        #expect(evaluation == alone.0)
        #expect(comparison == alone.1)
      }
    }
  }

  @Test func `a rank that ends at any moment loses nothing`() throws {
    let passes = Self.prepared + [Self.calibrate { $0.updates = 11 }, .merge(MergeOptions())]
    let alone = try run(1, passes)
    try FileManager.default.removeItem(atPath: output)
    var random = SplitMix64(seed: 41)
    for _ in 0..<10 {
      let failing = (
        rank: Int.random(in: 0..<3, using: &random), messages: Int.random(in: 1...150, using: &random)
      )
      var isEnded = false
      do {
        _ = try run(3, passes, resumes: true, failing: failing)
      } catch ThreadGroup.Failure.chosen {
        isEnded = true
      }
      #expect(isEnded, "rank \(failing.rank) needs fewer than \(failing.messages) messages")
      #expect(try FileSystem.kind(of: output) == nil)
      // The work goes on with any number of ranks.
      let count = Int.random(in: 1...3, using: &random)
      #expect(try run(count, passes, resumes: true).bytes == alone.bytes, "\(failing), then \(count) ranks")
      try FileManager.default.removeItem(atPath: output)
      let left = try FileManager.default.contentsOfDirectory(atPath: bench.folder.path)
      #expect(left.allSatisfy { !$0.contains(".partial") }, "\(left)")
    }
  }

  @Test func `ranks resume a calibration from the state of rank 0`() throws {
    let passes = Self.prepared + [Self.calibrate { $0.updates = 11 }]
    let alone = try run(1, passes)
    #expect(throws: ThreadGroup.Failure.chosen) {
      try run(2, passes, resumes: true, failing: (rank: 1, messages: 110))
    }
    let resumed = try run(2, passes, resumes: true)
    #expect(resumed.bytes == alone.bytes)
    let report = try JSONValue(parsing: Array(try #require(resumed.reports.last).utf8))
    #expect(report["resumed_at_update"]?.integer == 5 || report["resumed_at_update"]?.integer == 10)
  }

  @Test func `codes are not trained by several processes`() throws {
    let passes = Self.prepared + [Self.calibrate { $0.train = [.code] }]
    let text = message { _ = try run(2, passes) }
    #expect(text.contains("codes are trained by one process"))
  }

  @Test func `ranks with other options or versions are refused on every rank`() throws {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(output), passes: Self.prepared)
    let texts = try ThreadGroup.run(3) { group in
      let version = group.rank == 2 ? "0.0.1" : "0.0.0"
      let options = Pipeline.Options(force: true, version: version, group: group)
      return message { _ = try Pipeline(recipe, options).run() }
    }
    let expected = "rank 2 has another version of rilq than rank 0: 0.0.1, not 0.0.0"
    #expect(texts == [String](repeating: expected, count: 3))
    let others = try ThreadGroup.run(2) { group in
      let options = Pipeline.Options(
        force: true, container: ContainerOptions(compression: group.isFirst ? .none : .zlib), group: group)
      return message { _ = try Pipeline(recipe, options).run() }
    }
    #expect(others == [String](repeating: "rank 1 has another recipe or other options than rank 0", count: 2))
  }
}

extension JSONValue {
  /// A report without what differs from run to run.
  fileprivate var withoutTimes: JSONValue {
    guard let members = object else { return self }
    return .object(
      members.filter { !$0.key.contains("second") }.map { Member($0.key, $0.value.withoutTimes) })
  }
}
