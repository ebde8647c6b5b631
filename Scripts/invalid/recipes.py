"""Recipes, Formats/recipe.md: YAML, keys, types, ranges, variables, patterns."""
CONVERT = ("convert", "$FILE")
FOLDER = "recipe/"
TOP = "input: ../base\noutput: out.rilq\n"


def add_invalid(catalogue):
    def add(name, text, *says):
        beside = ("base",) if name == "pattern-unmatched" else ()
        catalogue.add(FOLDER + name + ".yaml", text, CONVERT, [f"{name}.yaml: ", *says], code=64, beside=beside)

    def options(name, text, *says):
        add(name, TOP + f"passes:\n  - {text}\n", "line 4: ", *says)

    add("empty", "", "line 1: is empty, expected a map")
    add("only-a-comment", "# nothing\n", "is empty, expected a map")
    add("not-utf8", b"input: \xff\n", "is not UTF-8")
    add("nul", "input: a\0b\n", "line 1: control characters are not allowed")
    add("list", "- input\n", "line 1: is a list, expected a map")
    add("two-documents", TOP + "passes: []\n---\ninput: x\n", "line 4: expected a single document")
    add("open-bracket", TOP + "passes: [\n", "while parsing a flow")
    add("tab", "input: in\n\toutput: out\n", "line 2: ", "found a tab character")
    add("tag", "input: !!binary aGk=\noutput: o\npasses: []\n", "line 1: tags are not supported")
    add("python-tag", "input: !!python/object/apply:os.system [id]\n", "line 1: tags are not supported")
    add("merge-key", "a: &a {x: 1}\n<<: *a\n", "there is no such key")
    add("undefined-alias", "input: *nothing\n", "line 1: found undefined alias")
    add("alias-of-itself", TOP + "passes: &a [*a]\n", "line 3: found undefined alias")
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 13)]
    add("aliases-that-multiply", TOP + "passes:\n" + "\n".join(lines[:4]) + "\n", "has more than 10000 values")
    lines[0] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
    lines[1:] = [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 13)]
    add("aliases-that-multiply-in-a-key", "\n".join(lines) + "\n? *a12\n: x\n? *a11\n: y\n", "has more than 32 aliases")
    add("nesting-of-5000", "input: " + "[" * 5000 + "\n", "line 1: ", "nesting")
    add("key-is-a-list", "[a]: b\n", "line 1: has a list or a map as a key")
    add("duplicate-key", TOP + "input: other\npasses: []\n", "key 'input': is given more than once")
    add("unknown-key", TOP + "pases: []\n", "line 3: key 'pases': there is no such key 'pases', the nearest is 'passes'")
    add("input-missing", "output: out\npasses: []\n", "key 'input': is missing")
    add("output-missing", "input: ../base\npasses: []\n", "key 'output': is missing")
    add("passes-missing", TOP, "key 'passes': is missing")
    add("input-is-number", "input: 5\noutput: out\npasses: []\n", "line 1: key 'input': is '5', expected a path")
    add("input-is-list", "input: [a]\noutput: out\npasses: []\n", "key 'input': is a list, expected a path")
    add("input-is-null", "input: null\noutput: out\npasses: []\n", "key 'input': is 'null', expected a path")
    add("output-is-empty", "input: ../base\noutput: ''\npasses: []\n", "line 2: key 'output': is empty, expected a path")
    add("unknown-format", TOP + "to: onnx\npasses: []\n", "line 3: key 'to': is 'onnx', expected")
    add("passes-is-map", TOP + "passes: {quantize: {}}\n", "line 3: key 'passes': is a map, expected a list")
    add("pass-is-text", TOP + "passes:\n  - merge\n", "line 4: key 'passes.0': is 'merge'")
    add("pass-of-two-keys", TOP + "passes:\n  - {merge: {}, attach: {}}\n", "key 'passes.0': has 2 keys")
    options("unknown-pass", "quantise: {}", "there is no pass 'quantise', the nearest is 'quantize'")
    options("unknown-option", "quantize: {bitz: 2}", "there is no such key 'bitz', the nearest is 'bits'")
    options("bits-7", "quantize: {bits: 7}", "is '7', expected 2, 3, 4, 5, 6 or 8")
    options("bits-as-text", "quantize: {bits: '2'}", "is the text '2', expected 2, 3, 4, 5, 6 or 8")
    options("bits-2.0", "quantize: {bits: 2.0}", "is '2.0', expected 2, 3, 4, 5, 6 or 8")
    options("bits-of-20-digits", "quantize: {bits: 22222222222222222222}", "expected 2, 3, 4, 5, 6 or 8")
    options("group-size-negative", "quantize: {group_size: -64}", "is '-64', expected 32, 64 or 128")
    options("rank-octal", "attach: {rank: 010}", "is '010', expected an integer")
    options("rank-hexadecimal", "attach: {rank: 0x10}", "is '0x10', expected an integer")
    options("rank-4097", "attach: {rank: 4097}", "is '4097', expected an integer from 1 to 4096")
    options("alpha-infinite", "attach: {alpha: .inf}", "is '.inf', expected a number")
    options("alpha-1e999", "attach: {alpha: 1e999}", "is '1e999', expected a number")
    options("seed-negative", "attach: {seed: -1}", "is '-1', expected an integer")
    options("flag-is-yes", "merge: {requantize: yes}", "is 'yes', expected true or false")
    options("ignore-is-text", "quantize: {ignore: lm_head}", "is 'lm_head', expected a list of patterns")
    options("pattern-is-number", "quantize: {ignore: [1]}", "ignore.0': is '1', expected a pattern")
    options("pattern-glob-open", "quantize: {ignore: ['a[']}", "has a '[' without its ']'")
    options("pattern-expression-open", "quantize: {ignore: ['re:(']}", "is not a regular expression")
    options("pattern-unmatched", "quantize: {ignore: ['*.mpl.*']}", "pattern '*.mpl.*' matches no module")
    options("targets-empty", "quantize: {targets: []}", "is an empty list, which selects nothing")
    options("text-missing", "calibrate: {}", "key 'passes.0.calibrate.text': is missing")
    options("weights-both-0", "calibrate: {text: t, model_weight: 0, ground_truth_weight: 0}", "are all 0")
    options("train-twice", "calibrate: {text: t, train: [bias, bias]}", "is 'bias' again")
    options("against-without-merge", "verify: {text: t, against: unmerged}", "but no merge comes before")

    def variables(name, text, output, *says):
        add(name, f"input: ../base\noutput: {output}\nvariables: {text}\npasses: []\n", *says)

    variables("variable-unknown", "{name: x}", "$" + "{nane}", "there is no variable 'nane', the nearest is 'name'")
    variables("variable-not-closed", "{name: x}", "a$" + "{name", "has '${' without '}'")
    variables("variable-of-itself", '{name: "$' + '{name}"}', "o", "there is no variable 'name'")
    variables("variable-of-a-later-one", '{a: "$' + '{b}", b: x}', "o", "there is no variable 'b'")
    variables("variable-with-a-dash", "{a-b: x}", "o", "is not a name of letters, digits and '_'")
    variables("variable-named-like-a-key", "{input: x}", "o", "is the name of a key of the recipe")
    variables("variable-is-map", "{a: {b: x}}", "o", "key 'variables.a': is a map, expected a value or a list")
    variables("variables-is-list", "[a]", "o", "key 'variables': is a list, expected a map")


def add_odd(catalogue):
    pass
