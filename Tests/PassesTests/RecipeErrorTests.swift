import Passes
import Testing

/// Every defect of a recipe with its whole message.
@Suite struct RecipeErrorTests {
  @Test(arguments: [
    ("", "recipes/r.yaml: line 1: is empty, expected a map of input, output, to, variables and passes"),
    ("- a", "recipes/r.yaml: line 1: is a list, expected a map of input, output, to, variables and passes"),
    ("input: in\npasses: []", "recipes/r.yaml: line 1: key 'output': is missing"),
    ("output: out\npasses: []", "recipes/r.yaml: line 1: key 'input': is missing"),
    ("input: in\noutput: out", "recipes/r.yaml: line 1: key 'passes': is missing"),
    (
      "input: in\noutput: out\npases: []",
      "recipes/r.yaml: line 3: key 'pases': there is no such key 'pases', the nearest is 'passes'"
    ),
    (
      "input: 5\noutput: out\npasses: []",
      "recipes/r.yaml: line 1: key 'input': is '5', expected a path; quotes make it text"
    ),
    ("input:\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': is empty, expected a path"),
    ("input: ''\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': is empty, expected a path"),
    ("input: \"a\\0b\"\noutput: out\npasses: []", "recipes/r.yaml: line 1: key 'input': has a NUL character"),
    (
      "input: in\noutput: [out]\npasses: []",
      "recipes/r.yaml: line 2: key 'output': is a list, expected a path"
    ),
    (
      "input: in\noutput: out\nto: onnx\npasses: []",
      "recipes/r.yaml: line 3: key 'to': is 'onnx', expected rilq, safetensors, mlx, gguf, gptq, gptq_v2, autoround or compressed-tensors"
    ),
    (
      "input: in\noutput: out\npasses: {}",
      "recipes/r.yaml: line 3: key 'passes': is a map, expected a list of passes"
    ),
  ])
  func `refuses a top level`(yaml: String, expected: String) {
    #expect(message { _ = try parse(yaml) } == expected)
  }

  @Test(arguments: [
    ("input: {in", "recipes/r.yaml: line 1: while parsing a flow mapping, did not find expected ',' or '}'"),
    (
      "input: in\n\toutput: out",
      "recipes/r.yaml: line 2: while scanning a plain scalar, found a tab character that violates indentation"
    ),
    ("input: in\ninput: other", "recipes/r.yaml: line 1: key 'input': is given more than once"),
    (
      "input: in\npasses:\n- merge: {tables: f16,\n  \"tables\": f32}",
      "recipes/r.yaml: line 3: key 'tables': is given more than once"
    ),
    ("input: *nothing", "recipes/r.yaml: line 1: found undefined alias"),
    (
      "input: in\n---\ninput: other",
      "recipes/r.yaml: line 2: expected a single document in the stream, but found another document"
    ),
    ("input: in\noutput: a\u{1}b", "recipes/r.yaml: line 2: control characters are not allowed"),
    ("input: !!binary in", "recipes/r.yaml: line 1: tags are not supported"),
    ("input: in\n[a]: b", "recipes/r.yaml: line 2: has a list or a map as a key"),
  ])
  func `puts a YAML problem on one line`(yaml: String, expected: String) {
    #expect(message { _ = try parse(yaml) } == expected)
  }

  @Test(arguments: [
    (
      "merge",
      "line 4: key 'passes.0': is 'merge', expected the name of a pass with its options: "
        + "rotate, quantize, attach, calibrate, merge or verify"
    ),
    (
      "{merge: {}, attach: {}}",
      "line 4: key 'passes.0': has 2 keys, expected the name of a pass with its options: "
        + "rotate, quantize, attach, calibrate, merge or verify"
    ),
    (
      "{}",
      "line 4: key 'passes.0': has 0 keys, expected the name of a pass with its options: "
        + "rotate, quantize, attach, calibrate, merge or verify"
    ),
    (
      "quantise: {}",
      "line 4: key 'passes.0.quantise': there is no pass 'quantise', the nearest is 'quantize'"
    ),
    (
      "merge:",
      "line 4: key 'passes.0.merge': is empty, expected a map of requantize, tables, adapter and pooling"
    ),
  ])
  func `refuses an entry of passes`(pass: String, expected: String) {
    #expect(message { _ = try parse(recipeText(passes: pass)) } == "recipes/r.yaml: " + expected)
  }

  @Test(arguments: [
    ("quantize: {bitz: 2}", "quantize.bitz': there is no such key 'bitz', the nearest is 'bits'"),
    ("quantize: {method: awq}", "quantize.method': is 'awq', expected rtn, search, hqq, nf2 or gptq"),
    ("quantize: {method: gptq}", "quantize': the method 'gptq' needs a 'text'"),
    ("quantize: {text: a.txt}", "quantize': the method 'rtn' makes no use of a 'text'"),
    ("quantize: {method: search, samples: 8}", "quantize': 'samples' is not used without a 'text'"),
    (
      "quantize: {method: search, text: a.txt, damping: 0.1}",
      "quantize': 'damping' is not used by the method 'search'"
    ),
    (
      "quantize: {method: gptq, text: a.txt, damping: 0}",
      "quantize.damping': is '0', expected a number above 0 and at most 1"
    ),
    ("quantize: {method: hqq, text: a.txt}", "quantize': the method 'hqq' makes no use of a 'text'"),
    ("quantize: {refit: true}", "quantize': 'refit' needs a 'text'"),
    ("quantize: {method: search, sweeps: 1}", "quantize': 'sweeps' needs a 'text'"),
    ("quantize: {propagation: 0.5}", "quantize': 'propagation' needs a 'text'"),
    ("quantize: {layer_epochs: 2}", "quantize': 'layer_epochs' needs a 'text'"),
    ("quantize: {products: bf16}", "quantize': 'products' is not used without a 'text'"),
    (
      "quantize: {method: gptq, text: a.txt, layer_code_rate: 0.1}",
      "quantize': 'layer_code_rate' is not used without 'layer_epochs'"
    ),
    (
      "quantize: {method: gptq, text: a.txt, layer_epochs: 1, layer_batch: 0}",
      "quantize.layer_batch': is '0', expected an integer from 1 to 1000000"
    ),
    ("quantize: {bits_per_weight: 3}", "quantize': 'bits_per_weight' needs a 'text'"),
    ("quantize: {refit: 1}", "quantize.refit': is '1', expected true or false"),
    ("quantize: {sweeps: -1}", "quantize.sweeps': is '-1', expected an integer from 0 to 1000"),
    (
      "quantize: {method: gptq, text: a.txt, propagation: 1.5}",
      "quantize.propagation': is '1.5', expected a number from 0 to 1"
    ),
    (
      "quantize: {method: gptq, text: a.txt, bits_per_weight: 2}",
      "quantize.bits_per_weight': is '2', expected a number above 2 and at most 8"
    ),
    (
      "quantize: {method: gptq, text: a.txt, bits_per_weight: 3, bits: 2}",
      "quantize': 'bits' is not used with 'bits_per_weight'"
    ),
    ("quantize: {overrides: {}}", "quantize.overrides': is a map, expected a list of overrides"),
    (
      "quantize: {overrides: [{bits: 4}]}",
      "quantize.overrides.0.targets': is missing"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bits: 4}, {targets: [v_proj]}]}",
      "quantize.overrides.1': gives neither 'bits' nor 'group_size'"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bits: 5}]}",
      "quantize.overrides.0.bits': is '5', expected 2, 3, 4 or 8"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], group_size: 16}]}",
      "quantize.overrides.0.group_size': is '16', expected 32, 64 or 128"
    ),
    (
      "quantize: {overrides: [{targets: ['*'], bit: 4}]}",
      "quantize.overrides.0.bit': there is no such key 'bit', the nearest is 'bits'"
    ),
    ("quantize: {bits: 5}", "quantize.bits': is '5', expected 2, 3, 4 or 8"),
    ("quantize: {bits: '2'}", "quantize.bits': is the text '2', expected 2, 3, 4 or 8"),
    ("quantize: {bits: 2.0}", "quantize.bits': is '2.0', expected 2, 3, 4 or 8"),
    ("quantize: {bits: null}", "quantize.bits': is 'null', expected 2, 3, 4 or 8"),
    ("quantize: {group_size: 48}", "quantize.group_size': is '48', expected 32, 64 or 128"),
    ("quantize: {tables: f64}", "quantize.tables': is 'f64', expected f32, f16 or bf16"),
    ("quantize: {ignore: lm_head}", "quantize.ignore': is 'lm_head', expected a list of patterns"),
    ("quantize: {ignore: [1]}", "quantize.ignore.0': is '1', expected a pattern; quotes make it text"),
    ("quantize: {ignore: ['a[']}", "quantize.ignore.0': pattern 'a[' has a '[' without its ']'"),
    ("quantize: {ignore: ['re:(']}", "quantize.ignore.0': pattern 're:(' is not a regular expression"),
    ("quantize: {targets: []}", "quantize.targets': is an empty list, which selects nothing"),
    ("quantize: {targets: }", "quantize.targets': is empty, expected a list of patterns"),
    (
      "quantize: {method: rtn, text: []}", "quantize': the method 'rtn' makes no use of a 'text' or 'sampled'"
    ),
    ("verify: {sampled: 2, text: t}", "verify': 'text' is not used with 'sampled'"),
    ("verify: {sampled: 2, max_tokens: 512}", "verify': 'max_tokens' is not used with 'sampled'"),
    ("verify: {text: t, seed: 2}", "verify': 'seed' is not used without 'sampled'"),
    ("verify: {text: t, prompt: In, continuations: 2}", "verify': 'continuations' is not used with 'prompt'"),
    (
      "verify: {text: t, continuations: 0, min_equal_tokens: 2}",
      "verify': 'min_equal_tokens' is not used when 'continuations' is 0"
    ),
    ("quantize: {method: gptq, text: [a, a]}", "quantize.text.1': is 'a' again"),
    ("quantize: {method: gptq, text: {}}", "quantize.text': is a map, expected a path"),
    (
      "quantize: {method: gptq, text: t, sampled: 65}",
      "quantize.sampled': is '65', expected an integer from 0 to 64"
    ),
    (
      "quantize: {method: gptq, sampled: 8}",
      "quantize': 'sampled' is less than 'samples', so there must be a 'text'"
    ),
    (
      "quantize: {method: gptq, text: t, sampled: 64}",
      "quantize': 'text' is not used when 'sampled' is all windows"
    ),
    ("quantize: {method: gptq, text: [a, b], samples: 1}", "quantize': 'text' has 2 files for 1 windows"),
    ("quantize: {sampled: 64}", "quantize': the method 'rtn' makes no use of a 'text' or 'sampled'"),
    ("quantize: {importance: i}", "quantize': 'importance' is not used by the method 'rtn'"),
    (
      "quantize: {method: search, text: t, importance: i}",
      "quantize': 'importance' takes the place of a 'text', which is given"
    ),
    (
      "quantize: {method: search, importance_output: i}",
      "quantize': 'importance_output' is not used without a 'text'"
    ),
    ("attach: {kind: sparse}", "attach.kind': is 'sparse', expected dense or pooled"),
    ("attach: {rank: 0}", "attach.rank': is '0', expected an integer from 1 to 4096"),
    ("attach: {rank: 010}", "attach.rank': is '010', expected an integer from 1 to 4096"),
    ("attach: {rank: [1]}", "attach.rank': is a list, expected an integer from 1 to 4096"),
    ("attach: {alpha: 0}", "attach.alpha': is '0', expected a number above 0"),
    ("attach: {alpha: .inf}", "attach.alpha': is '.inf', expected a number above 0"),
    ("attach: {alpha: 1e999}", "attach.alpha': is '1e999', expected a number above 0"),
    ("attach: {seed: -1}", "attach.seed': is '-1', expected an integer of at least 0"),
    (
      "attach: {seed: 99999999999999999999}",
      "attach.seed': is '99999999999999999999', expected an integer of at least 0"
    ),
    ("calibrate: {}", "calibrate.text': is missing"),
    (
      "calibrate: {sampled: 8}",
      "calibrate': 'sampled' is less than 'samples', so there must be a 'text'"
    ),
    (
      "calibrate: {text: t, sampled: 257}",
      "calibrate.sampled': is '257', expected an integer from 0 to 256"
    ),
    (
      "calibrate: {text: t, sampled: 256, validation: 0}",
      "calibrate': 'text' is not used when 'sampled' is all windows and 'validation' is 0"
    ),
    (
      "calibrate: {text: [a, b, c], samples: 2, validation: 1}",
      "calibrate': 'text' has 3 files for 2 windows"
    ),
    ("calibrate: {text: t, samples: 0}", "calibrate.samples': is '0', expected an integer from 1 to 1000000"),
    ("calibrate: {text: t, length: 1}", "calibrate.length': is '1', expected an integer from 2 to 1048576"),
    ("calibrate: {text: t, updates: 0}", "calibrate.updates': is '0', expected an integer from 1 to 1000000"),
    ("calibrate: {text: t, batch: x}", "calibrate.batch': is 'x', expected an integer from 1 to 1000000"),
    (
      "calibrate: {text: t, learning_rate: 2}",
      "calibrate.learning_rate': is '2', expected a number above 0 and at most 1"
    ),
    (
      "calibrate: {text: t, learning_rate_scale: {code: 0}}",
      "calibrate.learning_rate_scale.code': is '0', expected a number above 0 and at most 1000"
    ),
    (
      "calibrate: {text: t, validation: -1}",
      "calibrate.validation': is '-1', expected an integer from 0 to 1000000"
    ),
    (
      "calibrate: {text: t, patience: 0}",
      "calibrate.patience': is '0', expected an integer from 1 to 1000000"
    ),
    (
      "calibrate: {text: t, validate_every: 0}",
      "calibrate.validate_every': is '0', expected an integer from 1 to 1000000"
    ),
    (
      "calibrate: {text: t, model_weight: -0.5}",
      "calibrate.model_weight': is '-0.5', expected a number of at least 0"
    ),
    (
      "calibrate: {text: t, model_weight: 0, ground_truth_weight: 0}",
      "calibrate': model_weight, ground_truth_weight and kl_weight are all 0"
    ),
    (
      "calibrate: {text: t, kl_weight: 1, kl_top_k: 1}",
      "calibrate.kl_top_k': is '1', expected an integer from 2 to 1000000"
    ),
    (
      "calibrate: {text: t, kl_weight: 1, kl_temperature: 0}",
      "calibrate.kl_temperature': is '0', expected a number above 0 and at most 100"
    ),
    (
      "calibrate: {text: t, kl_temperature: 2}",
      "calibrate': 'kl_top_k' and 'kl_temperature' are not used when 'kl_weight' is 0"
    ),
    (
      "calibrate: {text: t, train: [all]}",
      "calibrate.train.0': is 'all', expected adapter, bias, scale or code"
    ),
    ("calibrate: {text: t, train: [bias, bias]}", "calibrate.train.1': is 'bias' again"),
    ("rotate: {parts: [norms]}", "rotate.parts.0': is 'norms', expected residual or heads"),
    ("rotate: {parts: [heads, heads]}", "rotate.parts.1': is 'heads' again"),
    ("rotate: {parts: []}", "rotate.parts': is an empty list, which rotates nothing"),
    ("rotate: {dtype: f64}", "rotate.dtype': is 'f64', expected f32, f16 or bf16"),
    ("rotate: {seed: -1}", "rotate.seed': is '-1', expected an integer of at least 0"),
    ("calibrate: {text: t, train: []}", "calibrate.train': is an empty list, which trains nothing"),
    (
      "calibrate: {text: t, train: bias}",
      "calibrate.train': is 'bias', expected a list of adapter, bias, scale and code"
    ),
    ("merge: {requantize: yes}", "merge.requantize': is 'yes', expected true or false"),
    ("merge: {tables: F16}", "merge.tables': is 'F16', expected f32, f16 or bf16"),
    ("verify: {}", "verify.text': is missing"),
    ("verify: {text: t, against: unmerged}", "verify.against': is 'unmerged', but no merge comes before"),
    ("verify: {text: t, window: 1}", "verify.window': is '1', expected an integer from 2 to 1048576"),
    (
      "verify: {text: t, max_tokens: 511}",
      "verify.max_tokens': is '511', expected an integer of at least 512"
    ),
    ("verify: {text: t, prompt: 5}", "verify.prompt': is '5', expected text; quotes make it text"),
    (
      "verify: {text: t, continuation_tokens: 7}",
      "verify.continuation_tokens': is '7', expected an integer from 8 to 1048576"
    ),
    ("verify: {text: t, max_kl: -1e-4}", "verify.max_kl': is '-1e-4', expected a number of at least 0"),
    (
      "verify: {text: t, min_top1_agreement: 99}",
      "verify.min_top1_agreement': is '99', expected a number from 0 to 1"
    ),
    (
      "verify: {text: t, max_perplexity_ratio: 0}",
      "verify.max_perplexity_ratio': is '0', expected a number above 0"
    ),
  ])
  func `refuses an option`(pass: String, expected: String) {
    #expect(
      message { _ = try parse(recipeText(passes: pass)) }
        == "recipes/r.yaml: line 4: key 'passes.0.\(expected)")
  }

  @Test func `names the line of a value in a block`() {
    let yaml = recipeText(passes: "merge: {}", "attach:\n      kind: pooled\n      rank: none")
    #expect(
      message { _ = try parse(yaml) }
        == "recipes/r.yaml: line 7: key 'passes.1.attach.rank': is 'none', expected an integer from 1 to 4096"
    )
  }

  @Test func `stops a recipe whose aliases multiply`() {
    var yaml = "input: in\noutput: out\npasses:\n- &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in 1...12 {
      yaml += "- &a\(i) [" + Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ", ") + "]\n"
    }
    #expect(message { _ = try parse(yaml) } == "recipes/r.yaml: has more than 32 aliases")
  }

  @Test func `refuses a text that is too large`() {
    let yaml = String(repeating: "#", count: 1 << 20) + "\n"
    #expect(message { _ = try parse(yaml) } == "recipes/r.yaml: is larger than 1048576 bytes")
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
