import Checkpoints
import Passes
import Testing

@Suite struct RecipeWritingTests {
  private static let full = """
    input: in
    output: out.rilq
    variables: {bits: 3, odd: "a\\tb: ${never}"}
    passes:
      - quantize: {bits: "${bits}", targets: ['*_proj', 're:.*\\.(up|down)_proj'], ignore: [lm_head]}
      - attach: {}
      - calibrate: {text: "it's ${never} \\"5\\".txt", learning_rate: 1e-5, train: [adapter, bias]}
      - merge: {tables: f16}
      - attach: {adapter: "a b", pooling: qa-lora}
      - merge: {adapter: ../a}
      - verify: {text: "5", max_kl: 1e-4, against: "true"}
    """.replacing("${never}", with: "$${never}")

  @Test func `writes every option`() throws {
    let recipe = try parse(
      "input: in\noutput: out dir\nvariables: {a: no}\n"
        + "passes: [quantize: {ignore: [lm_head]}, attach: {targets: [up_proj]}, "
        + "calibrate: {text: ../t.txt}, merge: {}, verify: {text: t, max_kl: 1e-4}]")
    #expect(
      recipe.resolvedYAML() == """
        input: in
        output: "out dir"
        to: safetensors
        variables:
          a: "no"
        passes:
          - quantize:
              method: rtn
              bits: 2
              group_size: 64
              targets: null
              ignore: [lm_head]
              tables: f32
          - attach:
              kind: pooled
              rank: 16
              alpha: 16.0
              init: zero
              targets: [up_proj]
              ignore: []
              seed: 1
              adapter: null
              pooling: null
          - calibrate:
              text: ../t.txt
              samples: 256
              sampled: 0
              length: 512
              updates: 200
              batch: 8
              learning_rate: null
              learning_rate_scale:
                adapter: 1.0
                bias: 1.0
                scale: 1.0
                code: 1.0
              validation: 16
              patience: 5
              validate_every: 25
              seed: 1
              model_weight: 0.5
              ground_truth_weight: 0.5
              kl_weight: 0.0
              kl_top_k: null
              kl_temperature: 1.0
              scope: model
              schedule: constant
              warmup: 0
              products: f32
              teacher: null
              train: null
          - merge:
              requantize: false
              tables: null
              adapter: null
              pooling: null
          - verify:
              text: t
              against: unmerged
              window: 512
              max_tokens: null
              continuations: 4
              continuation_tokens: 24
              max_kl: 0.0001
              max_mean_kl: null
              max_logit_difference: null
              min_top1_agreement: null
              max_perplexity_ratio: null
              max_collapsed: null
              min_equal_tokens: null

        """)
  }

  @Test func `writes an empty list of passes`() throws {
    let recipe = try parse("input: in\noutput: out\npasses: []")
    #expect(recipe.resolvedYAML() == "input: in\noutput: out\nto: safetensors\npasses: []\n")
  }

  @Test func `reads what it wrote`() throws {
    let recipe = try parse(Self.full)
    #expect(try parse(recipe.resolvedYAML()) == recipe)
  }

  @Test func `writes JSON that reads as the same recipe`() throws {
    let recipe = try parse(Self.full)
    #expect(try parse(recipe.resolvedJSON().prettyText) == recipe)
    #expect(try JSONValue(parsing: Array(recipe.resolvedJSON().compactText.utf8)) == recipe.resolvedJSON())
  }

  @Test(arguments: [
    "true", "null", "~", "5", "1e-4", ".inf", "yes", "a: b", "a #b", "'", "\"", "\\", "\n", "\u{7F}",
    "\u{85}", "\u{2028}",
    "é", "🙂", " x ", "-", "[a]", "*a", "&a", "!a", "%a", "${a}", "$${a}", "$", "0x1", "010",
  ])
  func `writes any text so that it reads back`(text: String) throws {
    let recipe = Recipe(input: PathOption(text), output: PathOption("out"), passes: [])
    #expect(try Recipe(parsing: recipe.resolvedYAML(), path: "r.yaml") == recipe)
  }

  @Test func `rewrites paths for another folder`() throws {
    let recipe = Recipe(
      input: PathOption("models/a"), output: PathOption("/abs/out"),
      passes: [
        .calibrate(
          CalibrateOptions {
            $0.texts = [PathOption("recipes/t.txt")]
            $0.teacher = PathOption("models/a")
          })
      ])
    let moved = recipe.moved(to: "recipes/r.yaml")
    #expect(moved.input.written == "../models/a")
    #expect(moved.output.written == "/abs/out")
    #expect(
      moved.passes == [
        .calibrate(
          CalibrateOptions {
            $0.texts = [PathOption("t.txt", in: "recipes")]
            $0.teacher = PathOption("../models/a", in: "recipes")
          })
      ])
    #expect(try parse(moved.resolvedYAML()) == moved)
  }

  @Test func `rewrites every path of a text and of importance`() throws {
    let list = try parse(
      recipeText(
        passes: "quantize: {method: search, text: [a.txt, {path: b.jsonl, share: 2}], "
          + "importance_output: i.safetensors}"))
    let moved = list.moved(to: "r.yaml")
    let options = try #require(moved.passes.first?.options(of: QuantizePass.self))
    #expect(options.texts.map(\.written) == ["recipes/a.txt", "recipes/b.jsonl"])
    #expect(options.texts.shares == [1, 2])
    #expect(options.importanceOutput?.written == "recipes/i.safetensors")
    let file = try parse(recipeText(passes: "quantize: {method: search, importance: i.safetensors}"))
    let other = try #require(file.moved(to: "r.yaml").passes.first?.options(of: QuantizePass.self))
    #expect(other.importance?.written == "recipes/i.safetensors")
  }

  @Test(arguments: [
    "quantize: {method: gptq, text: [a.txt, b.jsonl], sampled: 8}",
    "quantize: {method: search, sampled: 64, importance_output: i.safetensors}",
    "quantize: {method: search, importance: i.safetensors}",
    "calibrate: {text: [a.txt, b.txt], sampled: 128}",
    "calibrate: {text: [{path: a.txt, share: 2}, b.txt, {path: \"7\", share: 1}]}",
    "calibrate: {text: [{path: a.txt, share: 2}]}",
    "calibrate: {sampled: 256}",
  ])
  func `reads the windows that it wrote`(pass: String) throws {
    let recipe = try parse(recipeText(passes: pass))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
  }

  @Test func `leaves the paths of a recipe that stays in its folder`() throws {
    let recipe = try parse(Self.full)
    #expect(recipe.moved(to: "recipes/other.yaml") == recipe)
  }
}
