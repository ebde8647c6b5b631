import Checkpoints
import Passes
import TestSupport
import Testing

/// The products that a plan counts, beside sums by hand.
@Suite struct WorkEstimateTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private let quantize = PassOptions.quantize(
    QuantizeOptions {
      $0.method = .gptq
      $0.texts = [Self.text]
      $0.samples = 2
      $0.length = 16
    })
  private let verify = PassOptions.verify(
    VerifyOptions {
      $0.text = Self.text
      $0.window = 16
      $0.maxTokens = 64
    })

  private func plan(_ bench: Workbench, _ passes: [PassOptions]) throws -> PipelinePlan {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")), passes: passes)
    return try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
  }

  @Test func `the products of each pass are those of its tokens`() throws {
    let calibrate = PassOptions.calibrate(
      CalibrateOptions {
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 16
        $0.updates = 3
        $0.batch = 2
        $0.validation = 0
        $0.products = .bf16
      })
    let plan = try plan(Workbench(), [quantize, calibrate, .merge(MergeOptions()), verify])
    // Two layers: two matrices of 64 and five of 128 rows, 128 columns each; four of them with inputs of their own.
    let weights = 2 * (2 * 64 + 5 * 128) * 128
    // Queries meet 8 of 16 keys and values on average, 128 wide.
    let layers = 2 * weights + 2 * 2 * 16 * 128
    let moments = 2 * 4 * 128 * 128
    let head = 2 * 128 * 1024
    // GPTQ takes half of columns² · rows multiplications.
    let rows = 128 * weights
    let expected: [(f32: Int, bf16: Int)] = [
      (2 * 16 * (layers + moments) + rows, 0),
      (0, 16 * (4 * layers + 6 * (3 * layers + 2 * head))),
      (0, 0), (2 * 64 * (layers + head), 0),
    ]
    #expect(plan.passes.map(\.work.f32) == expected.map { Double($0.f32) })
    #expect(plan.passes.map(\.work.bf16) == expected.map { Double($0.bf16) })
    #expect(plan.writingWork == WorkEstimate())
    let speed = ProductSpeed(f32: 1e9, bf16: 2e9)
    let seconds = (plan.work.f32 / 1e9 + plan.work.bf16 / 2e9) / 0.7
    #expect(abs(speed.seconds(plan.work) - seconds) < 1e-12)
    #expect(plan.json(at: speed)["estimated_seconds"]?.double == speed.seconds(plan.work))
    #expect(plan.json(at: nil)["estimated_seconds"] == nil)
  }

  @Test func `a token meets the experts that are chosen for it`() throws {
    let plan = try plan(Workbench(FamilyModel.mixtral()), [verify])
    let attention = 2 * 64 * 64 + 2 * 32 * 64 + 16 * 64
    let experts = 2 * 3 * 64 * 64
    #expect(plan.work.f32 == Double(2 * 64 * (2 * 2 * (attention + experts) + 2 * 64 * 1024)))
  }

  @Test func `windows that passes share are written once`() throws {
    func verify(_ sampled: Int, window: Int, seed: UInt64 = 1) -> PassOptions {
      .verify(
        VerifyOptions {
          $0.sampled = sampled
          $0.window = window
          $0.seed = seed
          $0.against = .input
        })
    }
    let bench = try Workbench()
    let one = try plan(bench, [verify(4, window: 32)]).writingWork
    #expect(one.f32 + one.bf16 > 0)
    #expect(try plan(bench, [verify(4, window: 32), verify(2, window: 16)]).writingWork == one)
    let two = try plan(bench, [verify(4, window: 32), verify(4, window: 32, seed: 2)]).writingWork
    #expect(two.f32 + two.bf16 == 2 * (one.f32 + one.bf16))
  }

  @Test func `rounding to nearest has no products`() throws {
    #expect(try plan(Workbench(), [.quantize(QuantizeOptions())]).work == WorkEstimate())
  }

  @Test(arguments: [
    (0.2, "1 s"), (40, "40 s"), (99.6, "2 min"), (720, "12 min"), (12_600, "3.5 h"), (181_440, "2.1 days"),
  ])
  func `a time has a suitable unit`(seconds: Double, text: String) {
    #expect(seconds.formattedDuration == text)
  }
}
