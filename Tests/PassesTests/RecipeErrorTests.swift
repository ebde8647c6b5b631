import Passes
import TestSupport
import Testing

/// Every defect of a recipe, by its place, the values and key words.
@Suite struct RecipeErrorTests {
  @Test(arguments: [
    ("", "recipes/r.yaml: line 1: … empty … map … input, output, to, variables and passes …"),
    ("- a", "recipes/r.yaml: line 1: … list … map … input, output, to, variables and passes …"),
    ("input: in\npasses: []", "recipes/r.yaml: line 1: key 'output': … missing …"),
    ("output: out\npasses: []", "recipes/r.yaml: line 1: key 'input': … missing …"),
    ("input: in\noutput: out", "recipes/r.yaml: line 1: key 'passes': … missing …"),
    (
      "input: in\noutput: out\npases: []",
      "recipes/r.yaml: line 3: key 'pases': … no such key … 'pases' … nearest … 'passes' …"
    ),
    (
      "input: 5\noutput: out\npasses: []",
      "recipes/r.yaml: line 1: key 'input': … '5' … path … text …"
    ),
    ("input:\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': … empty … path …"),
    ("input: ''\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': … empty … path …"),
    ("input: \"a\\0b\"\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': … NUL …"),
    (
      "input: in\noutput: [out]\npasses: []",
      "recipes/r.yaml: line 2: key 'output': … list … path …"
    ),
    (
      "input: in\noutput: out\nto: onnx\npasses: []",
      "recipes/r.yaml: line 3: key 'to': … 'onnx' … rilq, safetensors, mlx, gguf, gptq, gptq_v2, autoround or compressed-tensors …"
    ),
    (
      "input: in\noutput: out\npasses: {}",
      "recipes/r.yaml: line 3: key 'passes': … map … list …"
    ),
  ])
  func `refuses a top level`(yaml: String, expected: String) {
    let text = message { _ = try parse(yaml) }
    #expect(text.says(expected), "\(text)")
  }

  @Test(arguments: [
    ("input: {in", "recipes/r.yaml: line 1: … flow mapping … ',' … '}' …"),
    (
      "input: in\n\toutput: out",
      "recipes/r.yaml: line 2: … tab …"
    ),
    ("input: in\ninput: other", "recipes/r.yaml: line 1: key 'input': … more than once …"),
    (
      "input: in\npasses:\n- merge: {tables: f16,\n  \"tables\": f32}",
      "recipes/r.yaml: line 3: key 'tables': … more than once …"
    ),
    ("input: *nothing", "recipes/r.yaml: line 1: … undefined alias …"),
    (
      "input: in\n---\ninput: other",
      "recipes/r.yaml: line 2: … single document …"
    ),
    ("input: in\noutput: a\u{1}b", "recipes/r.yaml: line 2: … control characters …"),
    ("input: !!binary in", "recipes/r.yaml: line 1: … tags … not supported …"),
    ("input: in\n[a]: b", "recipes/r.yaml: line 2: … list … map …"),
  ])
  func `puts a YAML problem on one line`(yaml: String, expected: String) {
    let text = message { _ = try parse(yaml) }
    #expect(text.says(expected), "\(text)")
  }

  @Test(arguments: [
    (
      "merge",
      "line 4: key 'passes.0': … 'merge' … rotate, quantize, attach, calibrate, merge or verify …"
    ),
    (
      "{merge: {}, attach: {}}",
      "line 4: key 'passes.0': … 2 … rotate, quantize, attach, calibrate, merge or verify …"
    ),
    (
      "{}",
      "line 4: key 'passes.0': … 0 … rotate, quantize, attach, calibrate, merge or verify …"
    ),
    (
      "quantise: {}",
      "line 4: key 'passes.0.quantise': … there is no pass … 'quantise' … nearest … 'quantize' …"
    ),
    (
      "merge:",
      "line 4: key 'passes.0.merge': … empty … map … requantize, tables, adapter and pooling …"
    ),
  ])
  func `refuses an entry of passes`(pass: String, expected: String) {
    let text = message { _ = try parse(recipeText(passes: pass)) }
    #expect(text.says("recipes/r.yaml: " + expected), "\(text)")
  }

  @Test(arguments: [
    ("quantize: {bitz: 2}", "quantize.bitz': … no such key … 'bitz' … nearest … 'bits' …"),
    ("quantize: {method: awq}", "quantize.method': … 'awq' … rtn, search, hqq, nf2 or gptq …"),
    ("quantize: {method: gptq}", "quantize': … 'gptq' … needs … 'text' …"),
    ("quantize: {text: a.txt}", "quantize': … 'rtn' … makes no use … 'text' …"),
    ("quantize: {method: search, samples: 8}", "quantize': … 'samples' … not used … without … 'text' …"),
    (
      "quantize: {method: search, text: a.txt, damping: 0.1}",
      "quantize': … 'damping' … not used … 'search' …"
    ),
    (
      "quantize: {method: gptq, text: a.txt, damping: 0}",
      "quantize.damping': … '0' … number … above … 0 … at most … 1 …"
    ),
    ("quantize: {method: hqq, text: a.txt}", "quantize': … 'hqq' … makes no use … 'text' …"),
    ("quantize: {refit: true}", "quantize': … 'refit' … needs … 'text' …"),
    ("quantize: {method: search, sweeps: 1}", "quantize': … 'sweeps' … needs … 'text' …"),
    ("quantize: {propagation: 0.5}", "quantize': … 'propagation' … needs … 'text' …"),
    ("quantize: {layer_epochs: 2}", "quantize': … 'layer_epochs' … needs … 'text' …"),
    ("quantize: {products: bf16}", "quantize': … 'products' … not used … without … 'text' …"),
    (
      "quantize: {method: gptq, text: a.txt, layer_code_rate: 0.1}",
      "quantize': … 'layer_code_rate' … not used … without … 'layer_epochs' …"
    ),
    (
      "quantize: {method: gptq, text: a.txt, layer_epochs: 1, layer_batch: 0}",
      "quantize.layer_batch': … '0' … integer … 1 … 1000000 …"
    ),
    ("quantize: {bits_per_weight: 3}", "quantize': … 'bits_per_weight' … needs … 'text' …"),
    ("quantize: {refit: 1}", "quantize.refit': … '1' … true or false …"),
    ("quantize: {sweeps: -1}", "quantize.sweeps': … '-1' … integer … 0 … 1000 …"),
    (
      "quantize: {method: gptq, text: a.txt, propagation: 1.5}",
      "quantize.propagation': … '1.5' … number … 0 … 1 …"
    ),
    (
      "quantize: {method: gptq, text: a.txt, bits_per_weight: 2}",
      "quantize.bits_per_weight': … '2' … number … above … 2 … at most … 8 …"
    ),
    (
      "quantize: {method: gptq, text: a.txt, bits_per_weight: 3, bits: 2}",
      "quantize': … 'bits' … not used … 'bits_per_weight' …"
    ),
    ("quantize: {overrides: {}}", "quantize.overrides': … map … list …"),
    (
      "quantize: {overrides: [{bits: 4}]}",
      "quantize.overrides.0.targets': … missing …"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bits: 4}, {targets: [v_proj]}]}",
      "quantize.overrides.1': … none … 'bits' … 'group_size' … 'grid' …"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bits: 7}]}",
      "quantize.overrides.0.bits': … '7' … 2, 3, 4, 5, 6 or 8 …"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], group_size: 16}]}",
      "quantize.overrides.0.group_size': … '16' … 32, 64 or 128 …"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bit: 4}]}",
      "quantize.overrides.0.bit': … no such key … 'bit' … nearest … 'bits' …"
    ),
    ("quantize: {bits: 7}", "quantize.bits': … '7' … 2, 3, 4, 5, 6 or 8 …"),
    ("quantize: {bits: '2'}", "quantize.bits': … text … '2' … 2, 3, 4, 5, 6 or 8 …"),
    ("quantize: {bits: 2.0}", "quantize.bits': … '2.0' … 2, 3, 4, 5, 6 or 8 …"),
    ("quantize: {bits: null}", "quantize.bits': … 'null' … 2, 3, 4, 5, 6 or 8 …"),
    ("quantize: {group_size: 48}", "quantize.group_size': … '48' … 32, 64 or 128 …"),
    ("quantize: {tables: f64}", "quantize.tables': … 'f64' … f32, f16 or bf16 …"),
    ("quantize: {ignore: lm_head}", "quantize.ignore': … 'lm_head' … list …"),
    ("quantize: {ignore: [1]}", "quantize.ignore.0': … '1' … text …"),
    ("quantize: {ignore: ['a[']}", "quantize.ignore.0': … 'a[' … '[' … without … ']' …"),
    ("quantize: {ignore: ['re:(']}", "quantize.ignore.0': … 're:(' … regular expression …"),
    ("quantize: {targets: []}", "quantize.targets': … empty … list …"),
    ("quantize: {targets: }", "quantize.targets': … empty … list …"),
    (
      "quantize: {method: rtn, text: []}", "quantize': … 'rtn' … makes no use … 'text' … 'sampled' …"
    ),
    ("verify: {sampled: 2, text: t}", "verify': … 'text' … not used … 'sampled' …"),
    ("verify: {sampled: 2, max_tokens: 512}", "verify': … 'max_tokens' … not used … 'sampled' …"),
    ("verify: {text: t, seed: 2}", "verify': … 'seed' … not used … without … 'sampled' …"),
    ("verify: {text: t, prompt: In, continuations: 2}", "verify': … 'continuations' … not used … 'prompt' …"),
    (
      "verify: {text: t, continuations: 0, min_equal_tokens: 2}",
      "verify': … 'min_equal_tokens' … not used … 'continuations' … 0 …"
    ),
    ("quantize: {method: gptq, text: [a, a]}", "quantize.text.1': … 'a' … again …"),
    ("quantize: {method: gptq, text: {}}", "quantize.text': … map … path …"),
    (
      "quantize: {method: gptq, text: t, sampled: 65}",
      "quantize.sampled': … '65' … integer … 0 … 64 …"
    ),
    (
      "quantize: {method: gptq, sampled: 8}",
      "quantize': … 'sampled' … less than … 'samples' … 'text' …"
    ),
    (
      "quantize: {method: gptq, text: t, sampled: 64}",
      "quantize': … 'text' … not used … 'sampled' …"
    ),
    ("quantize: {method: gptq, text: [a, b], samples: 1}", "quantize': … 'text' … 2 … 1 …"),
    ("quantize: {sampled: 64}", "quantize': … 'rtn' … makes no use … 'text' … 'sampled' …"),
    ("quantize: {importance: i}", "quantize': … 'importance' … not used … 'rtn' …"),
    (
      "quantize: {method: search, text: t, importance: i}",
      "quantize': … 'importance' … takes the place … 'text' …"
    ),
    (
      "quantize: {method: search, importance_output: i}",
      "quantize': … 'importance_output' … not used … without … 'text' …"
    ),
    ("attach: {kind: sparse}", "attach.kind': … 'sparse' … dense or pooled …"),
    ("attach: {rank: 0}", "attach.rank': … '0' … integer … 1 … 4096 …"),
    ("attach: {rank: 010}", "attach.rank': … '010' … integer … 1 … 4096 …"),
    ("attach: {rank: [1]}", "attach.rank': … list … integer … 1 … 4096 …"),
    ("attach: {alpha: 0}", "attach.alpha': … '0' … number … above … 0 …"),
    ("attach: {alpha: .inf}", "attach.alpha': … '.inf' … number … above … 0 …"),
    ("attach: {alpha: 1e999}", "attach.alpha': … '1e999' … number … above … 0 …"),
    ("attach: {seed: -1}", "attach.seed': … '-1' … integer … at least … 0 …"),
    (
      "attach: {seed: 99999999999999999999}",
      "attach.seed': … '99999999999999999999' … integer … at least … 0 …"
    ),
    ("calibrate: {}", "calibrate.text': … missing …"),
    (
      "calibrate: {sampled: 8}",
      "calibrate': … 'sampled' … less than … 'samples' … 'text' …"
    ),
    (
      "calibrate: {text: t, sampled: 257}",
      "calibrate.sampled': … '257' … integer … 0 … 256 …"
    ),
    (
      "calibrate: {text: t, sampled: 256, validation: 0}",
      "calibrate': … 'text' … not used … 'sampled' … 'validation' … 0 …"
    ),
    (
      "calibrate: {text: [a, b, c], samples: 2, validation: 1}",
      "calibrate': … 'text' … 3 … 2 …"
    ),
    ("calibrate: {text: t, samples: 0}", "calibrate.samples': … '0' … integer … 1 … 1000000 …"),
    ("calibrate: {text: t, length: 1}", "calibrate.length': … '1' … integer … 2 … 1048576 …"),
    ("calibrate: {text: t, updates: 0}", "calibrate.updates': … '0' … integer … 1 … 1000000 …"),
    ("calibrate: {text: t, batch: x}", "calibrate.batch': … 'x' … integer … 1 … 1000000 …"),
    (
      "calibrate: {text: t, learning_rate: 2}",
      "calibrate.learning_rate': … '2' … number … above … 0 … at most … 1 …"
    ),
    (
      "calibrate: {text: t, learning_rate_scale: {code: 0}}",
      "calibrate.learning_rate_scale.code': … '0' … number … above … 0 … at most … 1000 …"
    ),
    (
      "calibrate: {text: t, validation: -1}",
      "calibrate.validation': … '-1' … integer … 0 … 1000000 …"
    ),
    (
      "calibrate: {text: t, patience: 0}",
      "calibrate.patience': … '0' … integer … 1 … 1000000 …"
    ),
    (
      "calibrate: {text: t, validate_every: 0}",
      "calibrate.validate_every': … '0' … integer … 1 … 1000000 …"
    ),
    (
      "calibrate: {text: t, model_weight: -0.5}",
      "calibrate.model_weight': … '-0.5' … number … at least … 0 …"
    ),
    (
      "calibrate: {text: t, model_weight: 0, ground_truth_weight: 0}",
      "calibrate': … model_weight, ground_truth_weight and kl_weight … all 0 …"
    ),
    (
      "calibrate: {text: t, kl_weight: 1, kl_top_k: 1}",
      "calibrate.kl_top_k': … '1' … integer … 2 … 1000000 …"
    ),
    (
      "calibrate: {text: t, kl_weight: 1, kl_temperature: 0}",
      "calibrate.kl_temperature': … '0' … number … above … 0 … at most … 100 …"
    ),
    (
      "calibrate: {text: t, kl_temperature: 2}",
      "calibrate': … 'kl_top_k' … 'kl_temperature' … not used … 'kl_weight' … 0 …"
    ),
    (
      "calibrate: {text: t, train: [all]}",
      "calibrate.train.0': … 'all' … adapter, bias, scale or code …"
    ),
    ("calibrate: {text: t, train: [bias, bias]}", "calibrate.train.1': … 'bias' … again …"),
    ("rotate: {parts: [norms]}", "rotate.parts.0': … 'norms' … residual or heads …"),
    ("rotate: {parts: [heads, heads]}", "rotate.parts.1': … 'heads' … again …"),
    ("rotate: {parts: []}", "rotate.parts': … empty … list …"),
    ("rotate: {dtype: f64}", "rotate.dtype': … 'f64' … f32, f16 or bf16 …"),
    ("rotate: {seed: -1}", "rotate.seed': … '-1' … integer … at least … 0 …"),
    ("calibrate: {text: t, train: []}", "calibrate.train': … empty … list …"),
    (
      "calibrate: {text: t, train: bias}",
      "calibrate.train': … 'bias' … list … adapter, bias, scale and code …"
    ),
    ("merge: {requantize: yes}", "merge.requantize': … 'yes' … true or false …"),
    ("merge: {tables: F16}", "merge.tables': … 'F16' … f32, f16 or bf16 …"),
    ("verify: {}", "verify.text': … missing …"),
    ("verify: {text: t, against: unmerged}", "verify.against': … 'unmerged' … no merge …"),
    ("verify: {text: t, window: 1}", "verify.window': … '1' … integer … 2 … 1048576 …"),
    (
      "verify: {text: t, max_tokens: 511}",
      "verify.max_tokens': … '511' … integer … at least … 512 …"
    ),
    ("verify: {text: t, prompt: 5}", "verify.prompt': … '5' … text … text …"),
    (
      "verify: {text: t, continuation_tokens: 7}",
      "verify.continuation_tokens': … '7' … integer … 8 … 1048576 …"
    ),
    ("verify: {text: t, max_kl: -1e-4}", "verify.max_kl': … '-1e-4' … number … at least … 0 …"),
    (
      "verify: {text: t, min_top1_agreement: 99}",
      "verify.min_top1_agreement': … '99' … number … 0 … 1 …"
    ),
    (
      "verify: {text: t, max_perplexity_ratio: 0}",
      "verify.max_perplexity_ratio': … '0' … number … above … 0 …"
    ),
  ])
  func `refuses an option`(pass: String, expected: String) {
    let text = message { _ = try parse(recipeText(passes: pass)) }
    #expect(text.says("recipes/r.yaml: line 4: key 'passes.0.\(expected)"), "\(text)")
  }

  @Test func `names the line of a value in a block`() {
    let yaml = recipeText(passes: "merge: {}", "attach:\n      kind: pooled\n      rank: none")
    let text = message { _ = try parse(yaml) }
    let expected = "recipes/r.yaml: line 7: key 'passes.1.attach.rank': … 'none' … integer … 1 … 4096 …"
    #expect(text.says(expected), "\(text)")
  }

  @Test func `stops a recipe whose aliases multiply`() {
    var yaml = "input: in\noutput: out\npasses:\n- &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in 1...12 {
      yaml += "- &a\(i) [" + Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ", ") + "]\n"
    }
    #expect(message { _ = try parse(yaml) }.says("recipes/r.yaml: … 32 aliases …"))
  }

  @Test func `refuses a text that is too large`() {
    let yaml = String(repeating: "#", count: 1 << 20) + "\n"
    #expect(message { _ = try parse(yaml) }.says("recipes/r.yaml: … larger … 1048576 bytes …"))
  }

  @Test func `refuses lists that are nested without end`() {
    let yaml = "input: " + String(repeating: "[", count: 100_000)
    #expect(message { _ = try parse(yaml) } != "no error")
  }

  @Test func `is wrong usage`() throws {
    let error = #expect(throws: PassError.self) { try parse("input: in") }
    #expect(error?.isUsage == true)
  }
}
