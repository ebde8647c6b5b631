import Checkpoints
import Foundation
import Passes
import TestSupport
import Testing

/// A pass that this package does not have: it scales the norms of layers.
private struct ScaleNorms: Pass {
  struct Options: PassOptionValues {
    var factor = 1.0
    var notes: PathOption?

    init() {}

    @PassOptionTable<Self> static var declarations: [PassOption<Self>] {
      Option("factor", \.factor, .number(.above(0)), "factor of every norm")
      Option("notes", \.notes, .path, "file that is read")
    }

    func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
      if given.has("notes"), factor == 1 { throw given.failure("'notes' is not used without 'factor'") }
    }
  }

  struct Report: PassReport {
    let norms: Int
    var items: [ReportItem] { [ReportItem("norms", .integer(norms))] }
  }

  struct Run: PassRun {
    let factor: Float
    let input: Checkpoint
    var norms = 0

    mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
      norms += 1
      return try replacement.sources.map { tensor in
        let values = try Fixtures.floats(tensor.name, in: input).map { $0 * factor }
        return TensorBytes(
          values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) })
      }
    }

    mutating func finish() throws -> any PassReport { Report(norms: norms) }
  }

  static let name = "scale_norms"
  static let summary = "Scale the norms of layers."
  var options: Options

  init(_ options: Options) { self.options = options }

  func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = PlanEditor(input)
    for tensor in input.contents.tensors where tensor.name.hasSuffix("layernorm.weight") {
      let stored = TensorInfo(name: tensor.name, dtype: .f32, shape: tensor.shape)
      editor.replace([tensor.name], with: [stored], module: tensor.name, action: "scaled")
    }
    return editor.plan(memory: 0) { [factor = Float(options.factor)] input, _ in
      Run(factor: factor, input: input)
    }
  }
}

@Suite struct PassRegistryTests {
  private static let registry = PassRegistry.standard.adding(ScaleNorms.self)

  private func recipe(_ bench: Workbench, _ pass: String) throws -> Recipe {
    let yaml = """
      input: \(bench.input.path)
      output: \(bench.folder.path("out.rilq"))
      passes:
        - quantize: {}
        - \(pass)
        - attach: {rank: 4}
        - verify: {text: \(Fixtures.path("tiny-llama/evaluation.txt")), window: 64, max_tokens: 128, max_kl: 100}

      """
    return try Recipe(parsing: yaml, path: "r.yaml", registry: Self.registry)
  }

  @Test func `a pass from outside runs between others of a recipe`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let recipe = try recipe(bench, "scale_norms: {factor: 2}")
    let report = try Pipeline(recipe).run()
    #expect(report.passes.map(\.name) == ["quantize", "scale_norms", "attach", "verify"])
    #expect((report.passes[1].report as? ScaleNorms.Report)?.norms == 8)
    let quantization = try #require(report.passes[0].report as? QuantizationReport)
    #expect(quantization.modules == 28 && quantization.relativeError < 0.6)
    #expect((report.passes[3].report as? Verification)?.passed == true)
    let output = try Checkpoint.open(path: bench.folder.path("out.rilq"))
    let name = "model.layers.0.input_layernorm.weight"
    let before = try Fixtures.floats(name, in: bench.input)
    #expect(try Fixtures.floats(name, in: output) == before.map { $0 * 2 })
    let recorded = output.contents.metadata["history"]?.array?.first?["recipe"]?["passes"]?.array?[1]
    #expect(recorded?["scale_norms"]?["factor"]?.double == 2)
  }

  @Test func `the plan of a recipe has the changes of a pass from outside`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let plan = try Pipeline(recipe(bench, "scale_norms: {factor: 2}")).plan()
    #expect(plan.passes[1].changes.count == 8)
    #expect(plan.passes[1].changes[0].action == "scaled")
  }

  @Test func `reads its options by their declarations, from recipes and flags`() throws {
    let bench = try Workbench()
    let text = message { _ = try recipe(bench, "scale_norms: {factor: 0}") }
    #expect(text.contains("scale_norms.factor") && text.contains("a number above 0"))
    #expect(message { _ = try recipe(bench, "scale_norms: {notes: n}") }.contains("'notes' is not used"))
    let pass = try PassOptions(
      name: "scale_norms", flags: [PassFlag("factor", "3")], registry: Self.registry)
    #expect(pass.options(of: ScaleNorms.self)?.factor == 3)
  }

  @Test func `a name that no pass has is refused with the nearest`() throws {
    let bench = try Workbench()
    let text = message { _ = try recipe(bench, "scale_norm: {}") }
    #expect(text.contains("there is no pass 'scale_norm'") && text.contains("'scale_norms'"))
    #expect(throws: PassError.self) { try parsePass("scale_norms: {}") }
  }

  @Test func `moves the paths of every pass, and reads what it wrote`() throws {
    let recipe = try Recipe(
      parsing: recipeText(passes: "scale_norms: {factor: 2, notes: a/n.txt}"), path: "r.yaml",
      registry: Self.registry)
    let moved = recipe.moved(to: "b/r.yaml")
    #expect(moved.passes[0].options(of: ScaleNorms.self)?.notes?.written == "../a/n.txt")
    let again = try Recipe(parsing: recipe.resolvedYAML(), path: "r.yaml", registry: Self.registry)
    #expect(again == recipe)
  }
}
