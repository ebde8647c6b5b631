"""Folders: index, configuration, tokenizer and adapter, each over a model of two layers, `base`."""
import copy
import json
import struct

from catalogue import CONVERT, EVALUATE, INSPECT, QUANTIZE
from safetensors import file

HIDDEN, LAYERS, HEADS, KEY_HEADS = 32, 2, 2, 1
LETTERS = ["\u0120"] + [chr(c) for c in range(ord("a"), ord("z") + 1)]
MERGES = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("i", "n")]

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": HIDDEN,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "vocab_size": 32,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
    "tie_word_embeddings": True,
}  # fmt: skip

TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {"id": 31, "content": "<|end|>", "special": True, "lstrip": False, "rstrip": False, "single_word": False,
         "normalized": False}
    ],
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "model": {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {token: i for i, token in enumerate(LETTERS + ["".join(pair) for pair in MERGES])},
        "merges": [list(pair) for pair in MERGES],
    },
}  # fmt: skip


def values(count, seed):
    """bf16 between -1/8 and 1/8, from a linear congruence."""
    words = []
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        number = ((seed >> 16) % 256 - 128) / 1024
        words.append(struct.unpack("<I", struct.pack("<f", number))[0] >> 16)
    return struct.pack(f"<{count}H", *words)


def shapes():
    half = HIDDEN // HEADS * KEY_HEADS
    table = {"model.embed_tokens": (32, HIDDEN), "model.norm": (HIDDEN,)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        table |= {prefix + "input_layernorm": (HIDDEN,), prefix + "post_attention_layernorm": (HIDDEN,)}
        table |= {prefix + f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qo"}
        table |= {prefix + f"self_attn.{name}_proj": (half, HIDDEN) for name in "kv"}
        table |= {prefix + f"mlp.{name}_proj": (HIDDEN, HIDDEN) for name in ("gate", "up", "down")}
    return {name + ".weight": shape for name, shape in sorted(table.items())}


def tensors(table, dtype="BF16", width=2):
    """A file of tensors by name and shape."""
    header, data = {}, b""
    for i, (name, shape) in enumerate(table.items()):
        count = 1
        for dimension in shape:
            count *= dimension
        raw = values(count, i + 1) if dtype == "BF16" else bytes(count * width)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return file(header, data)


def dump(document):
    return json.dumps(document, ensure_ascii=True) + "\n"


def add_invalid(catalogue):
    base = {"config.json": dump(CONFIG), "tokenizer.json": dump(TOKENIZER), "model.safetensors": tensors(shapes())}
    catalogue.add("base", base, EVALUATE, "perplexity", code=0)
    add_folders(catalogue)
    add_indexes(catalogue)
    add_configurations(catalogue)
    add_quantizations(catalogue)
    add_tokenizers(catalogue)
    add_adapters(catalogue)


def add_folders(catalogue):
    def add(name, files, *says, without=("model.safetensors",), command=INSPECT):
        catalogue.add("folder/" + name, files, command, [f"{name}", *says], over="base", without=without)

    one = tensors({"a": (2,)})
    add("no-weights", {"notes.txt": "none\n"}, "a safetensors file is missing")
    add("pickle-only", {"pytorch_model.bin": b"\x80\2."}, "'pytorch_model.bin' is a pickle")
    add("consolidated-only", {"consolidated.safetensors": one}, "in Mistral's own layout")
    add("two-files-without-index", {"a.safetensors": one, "b.safetensors": one}, "has 2 safetensors files and no")
    add("adapter-only", {"adapter_model.safetensors": one}, "holds an adapter only")
    add("weights-are-a-folder", {"model.safetensors/x.txt": "x\n"}, "model.safetensors: is a folder, not a file")
    add("record-is-not-json", {"rilq.json": "{"}, "rilq.json: byte 1: ", without=())
    add("record-is-array", {"rilq.json": "[]"}, "rilq.json: is not an object", without=())
    add("configuration-is-a-folder", {"config.json/x.txt": "x\n"}, "config.json: is a folder", without=("config.json",))


def add_indexes(catalogue):
    name = "model.safetensors.index.json"
    shard = tensors({"a": (2,), "b": (2,)})

    def add(label, text, *says, files=None):
        text = text if isinstance(text, str) else dump(text)
        files = {name: text, **({"shard.safetensors": shard} if files is None else files)}
        catalogue.add("index/" + label, files, INSPECT, [label, *says], over="base", without=("model.safetensors",))

    def shards(label, table, *says, files=None):
        add(label, {"metadata": {"total_size": 8}, "weight_map": table}, *says, files=files)

    good = {"a": "shard.safetensors", "b": "shard.safetensors"}
    add("not-json", "weight_map", name + ": byte 0: ")
    add("is-array", [], name + ": object 'weight_map' is missing")
    add("without-weight-map", {"metadata": {}}, name + ": object 'weight_map' is missing")
    add("weight-map-is-array", {"weight_map": ["a"]}, "object 'weight_map' is missing")
    twice = '{"weight_map": {"a": "shard.safetensors", "b": "shard.safetensors", "a": "shard.safetensors"}}'
    add("duplicate-tensor", twice, name + ": byte ", "duplicate key 'a'")
    maps = '{"weight_map": {}, "weight_map": {}}'
    add("duplicate-weight-map", maps, "duplicate key 'weight_map'")
    shards("shard-is-number", {"a": 1}, "tensor 'a': its shard is not a string")
    shards("shard-is-null", {"a": None}, "tensor 'a': its shard is not a string")
    for label, path in {
        "dot-dot": "../base/model.safetensors", "absolute": "/etc/passwd", "in-a-folder": "deep/model.safetensors",
        "empty": "", "dot": ".", "dot-dot-alone": "..", "nul": "a\0b", "closing-slash": "shard.safetensors/",
    }.items():  # fmt: skip
        shards("shard-" + label, {"a": path}, "tensor 'a': shard '", "is not a file name in the folder")
    shards("shard-missing", {**good, "c": "other.safetensors"}, "shard 'other.safetensors' is missing")
    shards("shard-is-a-folder", good, "is a folder, not a file", files={"shard.safetensors/x.txt": "x\n"})
    shards("shard-is-no-safetensors", good, "shard.safetensors: byte 0: ", files={"shard.safetensors": "not one, really\n"})
    shards("shard-in-other-case", {"a": "Shard.safetensors"}, "shard 'Shard.safetensors' is missing")
    shards("tensor-not-in-shard", {**good, "c": "shard.safetensors"}, "tensor 'c': the tensor in 'shard.safetensors'")
    shards("tensor-not-in-index", {"a": "shard.safetensors"}, "tensor 'b': is not in " + name)
    two = {"shard.safetensors": shard, "other.safetensors": tensors({"c": (2,)})}
    swapped = {**good, "c": "other.safetensors", "b": "other.safetensors"}
    shards("tensor-in-another-shard", swapped, "tensor 'b': " + name + " says it is in 'other.safetensors'", files=two)
    both = {"shard.safetensors": shard, "other.safetensors": shard}
    shards("tensor-in-two-shards", {**good, "c": "other.safetensors"}, "says it is in 'shard.safetensors'", files=both)
    stale = {"shard.safetensors": shard, "model.safetensors": shard}
    shards("beside-a-single-file", good, "has model.safetensors and an index of other files", files=stale)


def add_configurations(catalogue):
    def add(label, text, *says, command=EVALUATE):
        catalogue.add(
            "config/" + label, {"config.json": text}, command, [label + "/config.json: ", *says], over="base",
            without=("config.json",))  # fmt: skip

    def change(label, says, **keys):
        document = {key: value for key, value in (CONFIG | keys).items() if value is not KeyError}
        add(label, dump(document), *([says] if isinstance(says, str) else says))

    def shape(label, says, command=EVALUATE, **keys):
        catalogue.add("config/" + label, {"config.json": dump(CONFIG | keys)}, command, [label, *says], over="base")

    add("empty", "", "byte 0: the text ends where a value should be", command=INSPECT)
    add("not-json", "hidden_size: 32\n", "byte 0: ", command=INSPECT)
    add("cut-short", dump(CONFIG)[:100], "byte ", command=INSPECT)
    add("with-comment", "// Llama\n" + dump(CONFIG), "byte 0: ", command=INSPECT)
    add("is-array", "[]\n", "is not an object")
    add("byte-order-mark", "\ufeff" + dump(CONFIG), "byte 0: ", command=INSPECT)
    add("duplicate-key", '{"hidden_size": 32, "hidden_size": 64}\n', "duplicate key 'hidden_size'", command=INSPECT)
    add("nesting-of-200", '{"a":' + "[" * 200 + "]" * 200 + "}\n", "nested deeper than 64", command=INSPECT)
    add("lone-surrogate", '{"a":"\\udfff"}\n', "lone surrogate", command=INSPECT)
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        change("without-" + key.replace("_", "-"), f"key '{key}' is missing", **{key: KeyError})
    change("hidden-size-null", "key 'hidden_size' is missing", hidden_size=None)
    change("hidden-size-text", "key 'hidden_size': must be a whole number", hidden_size="32")
    change("hidden-size-32.0", "key 'hidden_size': must be a whole number", hidden_size=32.0)
    change("hidden-size-0", "key 'hidden_size': must be a whole number", hidden_size=0)
    change("hidden-size-negative", "key 'hidden_size': must be a whole number", hidden_size=-32)
    change("hidden-size-2-to-40", "key 'hidden_size': must be a whole number", hidden_size=1 << 40)
    change("hidden-size-2-to-64", "key 'hidden_size': must be a whole number", hidden_size=1 << 64)
    change("layers-list", "key 'num_hidden_layers': must be a whole number", num_hidden_layers=[2])
    change("vocabulary-negative", "key 'vocab_size': must be a whole number", vocab_size=-1)
    change("heads-do-not-divide", "5 does not divide hidden_size, 32", num_attention_heads=5, num_key_value_heads=5)
    change("key-heads-do-not-divide", "3 does not divide num_attention_heads, 2", num_key_value_heads=3)
    change("head-dim-odd", "key 'head_dim': 15 is odd", head_dim=15)
    change("epsilon-0", "key 'rms_norm_eps'", rms_norm_eps=0)
    change("epsilon-text", "key 'rms_norm_eps': must be a number", rms_norm_eps="1e-5")
    add("epsilon-1e999", dump(CONFIG).replace("1e-05", "1e999"), "key 'rms_norm_eps': must be a number")
    change("tie-is-text", "key 'tie_word_embeddings': must be true or false", tie_word_embeddings="true")
    change("model-type-other", "key 'model_type': model type 'gpt2' is not supported", model_type="gpt2")
    change("model-type-number", "key 'model_type'", model_type=5)
    change("activation-other", "key 'hidden_act': activation 'relu2' is not supported", hidden_act="relu2")
    change("activation-list", "key 'hidden_act'", hidden_act=["silu"])
    change("sliding-window", "key 'sliding_window': ", model_type="mistral", num_key_value_heads=2, sliding_window=-16)
    change("rope-theta-negative", "key 'rope_theta': must be more than 1", rope_theta=-10000)
    change("rope-theta-text", "key 'rope_theta': must be a number", rope_theta="10000")
    change("rope-type-other", "key 'rope_scaling.rope_type': rope type 'axial'", rope_scaling={"rope_type": "axial"})
    change("rope-type-number", "key 'rope_scaling.rope_type'", rope_scaling={"rope_type": 3})
    change("rope-scaling-text", "key 'rope_scaling'", rope_scaling="linear")
    change("rope-scaling-array", "key 'rope_scaling'", rope_scaling=[8.0])
    change("rope-parameters-text", "key 'rope_parameters'", rope_parameters="default")
    change("rope-factor-0", "key 'rope_scaling.factor'", rope_scaling={"type": "linear", "factor": 0})
    change("rope-factor-missing", "key 'rope_scaling.factor'", rope_scaling={"type": "linear"})
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    without = llama3 | {"original_max_position_embeddings": 0}
    change("rope-context-0", "key 'rope_scaling.original_max_position_embeddings'", rope_scaling=without)
    equal = llama3 | {"high_freq_factor": 1.0, "original_max_position_embeddings": 64}
    change("rope-frequencies-equal", "key 'rope_scaling.high_freq_factor'", rope_scaling=equal)
    change("begin-token-text", "key 'bos_token_id': must be a token id", bos_token_id="<s>")
    change("end-token-negative", "key 'eos_token_id': must be a token id", eos_token_id=[31, -1])
    shape("more-layers-than-tensors", ["tensor 'model.layers.2.input_layernorm.weight' is missing"], num_hidden_layers=3)
    shape("attention-bias", ["tensor 'model.layers.0.self_attn.q_proj.bias' is missing"], attention_bias=True)
    shape("2-to-24-layers", ["key 'num_hidden_layers': must be a whole number from 1 to 4096"], num_hidden_layers=1 << 24)
    shape("4096-layers", ["tensor 'model.layers.2.input_layernorm.weight' is missing"], num_hidden_layers=4096)
    rotate = ["rotate", "$FILE", "$OUT"]
    shape("4096-layers-to-rotate", ["tensor 'model.layers.2.input_layernorm.weight' is missing"], rotate, num_hidden_layers=4096)
    wide = "expected [64, 32]"
    shape("wider-than-tensors", ["tensor 'model.layers.0.mlp.gate_proj.weight'", wide], intermediate_size=64)
    shape("vocabulary-larger-than-embedding", ["tensor 'model.embed_tokens.weight'", wide], vocab_size=64)
    shape("head-of-2-to-24", ["key 'head_dim': 2 heads of 16777216 are wider"], head_dim=1 << 24)
    shape("head-not-tied", ["tensor 'lm_head.weight' is missing"], tie_word_embeddings=False)
    catalogue.add(
        "config/missing", {"notes.txt": "no configuration\n"}, EVALUATE, ["missing: config.json is missing"], over="base",
        without=("config.json",))  # fmt: skip


def add_quantizations(catalogue):
    module = "model.layers.0.mlp.up_proj"

    def add(label, block, *says, table=None):
        files = {"config.json": dump(CONFIG | {"quantization": block})}
        if table:
            files["model.safetensors"] = tensors(table)
        catalogue.add("config/quantization-" + label, files, INSPECT, ["config.json: key 'quantization'", *says], over="base")

    add("is-text", "mlx", "is not an object")
    add("mode-other", {"bits": 2, "group_size": 32, "mode": "mxfp4"}, 'mode "mxfp4"')
    add("without-bits", {"group_size": 32}, "integer 'bits' is missing")
    add("bits-text", {"bits": "2", "group_size": 32}, "integer 'bits' is missing")
    add("without-group-size", {"bits": 2}, "integer 'group_size' is missing")
    add("of-a-dense-module", {"bits": 2, "group_size": 32, module: {"bits": 4, "group_size": 32}}, f"'{module}.scales' is missing")
    left_out = {"bits": 2, "group_size": 32, "m": False}
    add("leaves-out-scales", left_out, "leaves out module 'm', which has scales", table={"m.scales": (1, 1)})
    for label, bits, size, says in (
        ("bits-7", 7, 32, "7-bit codes"), ("bits-negative", -2, 32, "-2-bit codes"), ("group-size-0", 2, 0, "groups of 0"),
        ("group-size-negative", 2, -64, "groups of -64"), ("group-size-2-to-62", 8, 1 << 62, "groups of 4611686018427387904"),
    ):  # fmt: skip
        files = {
            "config.json": dump(CONFIG | {"quantization": {"bits": bits, "group_size": size}}),
            "model.safetensors": tensors({"m.weight": (1, 2), "m.scales": (1, 1), "m.biases": (1, 1)}),
        }
        catalogue.add("config/quantization-" + label, files, INSPECT, ["module 'm' of", says], over="base")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a2146" * 8 + "\nsize 9085657\n"


def add_tokenizers(catalogue):
    def add(label, text, *says, command=EVALUATE):
        catalogue.add(
            "tokenizer/" + label, {"tokenizer.json": text}, command, ["tokenizer.json: ", *says], over="base",
            without=("tokenizer.json",))  # fmt: skip

    def change(label, says, edit):
        document = copy.deepcopy(TOKENIZER)
        edit(document)
        add(label, dump(document), says)

    def top(label, says, **keys):
        change(label, says, lambda document: document.update(keys))

    def model(label, says, **keys):
        change(label, says, lambda document: document["model"].update(keys))

    def vocabulary(label, says, **tokens):
        change(label, says, lambda document: document["model"]["vocab"].update(tokens))

    def expression(label, text, says):
        split = {"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated", "invert": False}
        parts = [split, {**TOKENIZER["pre_tokenizer"], "use_regex": False}]
        sequence = {"type": "Sequence", "pretokenizers": parts}
        top("expression-" + label, says, pre_tokenizer=sequence)

    def token(label, says, **keys):
        top("added-" + label, says, added_tokens=[TOKENIZER["added_tokens"][0] | keys])

    text = dump(TOKENIZER)
    add("empty", "", "byte 0: the text ends where a value should be")
    add("not-json", "model: BPE\n", "byte 0: ")
    add("cut-short", text[: len(text) // 2], "byte ")
    add("is-array", "[]\n", "the document: is not an object")
    add("byte-order-mark", "\ufeff" + text, "byte 0: ")
    add("text-after-it", text + "{}\n", "there is text after the end of the value")
    add("git-lfs-pointer", POINTER, "is a Git LFS pointer")
    add("git-lfs-pointer-converted", POINTER, "is a Git LFS pointer", command=CONVERT)
    add("nesting-of-200", '{"model":' + "[" * 200 + "]" * 200 + "}", "nested deeper than 64")
    add("duplicate-token", text.replace('"a": 1,', '"a": 1, "a": 2,', 1), "duplicate key 'a'")
    add("lone-surrogate", text.replace('"a": 1,', '"\\ud800": 1,', 1), "lone surrogate")
    top("version-2", "a version other than 1.0", version="2.0")
    top("unknown-key", "key 'scripts' is not supported", scripts=[])
    for part in ("model", "decoder"):
        label = "without-" + part
        change(label, "model" if part == "model" else "is not supported", lambda document, part=part: document.pop(part))
    model("unigram", "model: 'Unigram' is not supported", type="Unigram")
    model("word-piece", "model: 'WordPiece' is not supported", type="WordPiece")
    model("type-number", "model: 'type' is not a string", type=1)
    model("dropout", "model: dropout is not supported", dropout=0.1)
    model("byte-fallback", "model: byte_fallback after ByteLevel", byte_fallback=True)
    model("subword-prefix", "continuing_subword_prefix is not supported", continuing_subword_prefix="##")
    model("unknown-option", "model: key 'cache' is not supported", cache=True)
    model("unknown-token-unknown", "unk_token '<unk>' is not in the vocabulary", unk_token="<unk>")
    model("vocabulary-empty", "model.vocab: there are no tokens", vocab={}, merges=[])
    model("vocabulary-is-array", "model.vocab: is not an object", vocab=[])
    vocabulary("id-negative", "the number of 'zz' is not an integer", zz=-1)
    vocabulary("id-2-to-22", "the number of 'zz' is not an integer below 4194304", zz=1 << 22)
    vocabulary("id-2-to-64", "the number of 'zz' is not an integer", zz=1 << 64)
    vocabulary("id-1.5", "the number of 'zz' is not an integer", zz=1.5)
    vocabulary("id-text", "the number of 'zz' is not an integer", zz="9")
    vocabulary("id-twice", "token 5 is there twice", zz=5)
    vocabulary("token-empty", "is empty", **{"": 40})
    model("merges-is-object", "model: 'merges' is not a list", merges={})
    model("merge-of-one", "merge 0 is not a pair of tokens", merges=["th"])
    model("merge-of-three", "merge 0 is not a pair of tokens", merges=[["t", "h", "e"]])
    model("merge-is-number", "merge 0 is not a pair of tokens", merges=[7])
    model("merge-of-unknown", "merge 0: token 'Q' is not in the vocabulary", merges=["t Q"])
    model("merge-makes-unknown", "merge 0: token 'az' is not in the vocabulary", merges=["a z"])
    model("merge-twice", "merge 1 repeats merge 0", merges=["t h", ["t", "h"]])
    token("id-other", "added_tokens[0]: id is 99, expected 31", id=99)
    token("id-taken", "added_tokens[0]: id is 5, expected 31", id=5)
    token("id-negative", "added_tokens[0]: id is -1", id=-1)
    token("content-empty", "added_tokens[0]: content is empty", content="")
    token("content-number", "added_tokens[0]: 'content' is not a string", content=7)
    token("special-text", "added_tokens[0]: 'special' is not true or false", special="yes")
    token("unknown-key", "added_tokens[0]: key 'trim' is not supported", trim=True)
    both = [TOKENIZER["added_tokens"][0], TOKENIZER["added_tokens"][0] | {"id": 32}]
    top("added-twice", "added_tokens[1]: is there twice", added_tokens=both)
    top("added-is-object", "'added_tokens' is not a list", added_tokens={})
    top("normalizer-other", "normalizer: 'Precompiled' is not supported", normalizer={"type": "Precompiled"})
    top("pre-tokenizer-other", "pre_tokenizer: 'BertPreTokenizer' is not supported", pre_tokenizer={"type": "BertPreTokenizer"})
    top("decoder-other", "decoder: 'WordPiece' is not supported", decoder={"type": "WordPiece"})
    top("post-processor-other", "'BertProcessing' is not supported", post_processor={"type": "BertProcessing"})
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": []}
    token_of = {"x": {"id": "x", "ids": [99], "tokens": ["x"]}}
    top("post-processor-token-out-of-range", "token 99 is not in", post_processor=template | {"special_tokens": token_of})
    top("post-processor-token-unknown", "'x'", post_processor=template | {"special_tokens": {}})
    deep = TOKENIZER["pre_tokenizer"]
    for _ in range(40):
        deep = {"type": "Sequence", "pretokenizers": [deep]}
    top("sequences-of-40-levels", "nested deeper than 64", pre_tokenizer=deep)
    expression("of-nothing", "", "matches the empty text is not supported")
    expression("matches-empty", "a*", "matches the empty text is not supported")
    expression("look-behind", "(?<=a)b", "'(?<' in a regular expression is not supported")
    expression("back-reference", "(a)\\1", "is not supported")
    expression("word-boundary", "a\\b", "is not supported")
    expression("dot", "a.b", "is not supported")
    expression("unknown-category", "\\p{Klingon}", "is not supported")
    expression("open-category", "\\p{L", "does not end")
    expression("open-group", "(a", "a group of the regular expression does not end")
    expression("open-class", "[a", "ends too early")
    expression("closed-group", "a)", "is not supported")
    expression("trailing-backslash", "a\\", "ends too early")
    expression("repeats-group-without-bound", "(?:ab)+", "repeats a group without bound")
    expression("count-1001", "a{1001}", "is not supported")
    expression("nesting-of-40", "(" * 40 + "a" + ")" * 40, "nests deeper than 32")
    expression("513-steps", "a" * 513, "more than 512 steps")
    expression("unrolls-too-far", "(?:ab){1000}", "more than 512 steps")
    nothing = "(?:" * 30 + "){1000}" * 30
    expression("repeats-nothing-10-to-90-times", "a" + nothing, "repeats nothing is not supported")
    catalogue.add(
        "tokenizer/missing", {"notes.txt": "no tokenizer\n"}, EVALUATE, ["missing: tokenizer.json is missing"], over="base",
        without=("tokenizer.json",))  # fmt: skip
    change_of_ids = copy.deepcopy(TOKENIZER)
    change_of_ids["model"]["vocab"]["q"] = 500
    change_of_ids["added_tokens"] = []
    catalogue.add(
        "tokenizer/id-beyond-the-embedding", {"tokenizer.json": dump(change_of_ids)}, EVALUATE,
        ["tokenizer.json: token 500: is outside the vocabulary of 32"], over="base", without=("tokenizer.json",))  # fmt: skip


PEFT = "base_model.model.model.layers.0.mlp.up_proj."
SETTINGS = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "target_modules": ["up_proj"]}
LORA = {PEFT + "lora_A.weight": (2, HIDDEN), PEFT + "lora_B.weight": (HIDDEN, 2)}


def add_adapters(catalogue):
    def add(label, settings, table, *says, dtype="BF16", width=2):
        files = {}
        if settings is not None:
            files["adapter_config.json"] = settings if isinstance(settings, str) else dump(settings)
        if table is not None:
            files["adapter_model.safetensors"] = tensors(table, dtype, width)
        catalogue.add("adapter/" + label, files, INSPECT, [label, *says], over="base")

    def setting(label, *says, **keys):
        settings = {key: value for key, value in (SETTINGS | keys).items() if value is not KeyError}
        add(label, settings, LORA, "adapter_config.json: ", *says)

    def pair(label, a, b, *says, prefix=PEFT, **keys):
        table = {}
        if a:
            table[prefix + "lora_A.weight"] = a
        if b:
            table[prefix + "lora_B.weight"] = b
        add(label, SETTINGS | keys, table, *says)

    width = HIDDEN
    add("without-configuration", None, LORA, "'adapter_config.json' of the adapter is missing")
    add("without-tensors", SETTINGS, None, "'adapter_model.safetensors' of the adapter is missing")
    add("configuration-not-json", "r=2\n", LORA, "adapter_config.json: byte 0: ")
    add("configuration-is-array", "[]\n", LORA, "adapter_config.json: is not an object")
    add("duplicate-key", '{"peft_type": "LORA", "r": 2, "r": 4, "lora_alpha": 4}\n', LORA, "duplicate key 'r'")
    setting("type-other", "key 'peft_type'", peft_type="IA3")
    setting("type-missing", "key 'peft_type'", peft_type=KeyError)
    setting("rank-0", "key 'r'", r=0)
    setting("rank-negative", "key 'r'", r=-2)
    setting("rank-text", "key 'r'", r="2")
    setting("rank-missing", "key 'r'", r=KeyError)
    setting("alpha-text", "key 'lora_alpha'", lora_alpha="4")
    setting("alpha-missing", "key 'lora_alpha'", lora_alpha=KeyError)
    add("alpha-1e999", dump(SETTINGS).replace('"lora_alpha": 4', '"lora_alpha": 1e999'), LORA, "key 'lora_alpha'")
    setting("unknown-switch", "key 'use_unheard_of'", use_unheard_of=True)
    setting("bias-of-another-word", "key 'bias'", bias="most")
    setting("start-changes-the-base", "key 'init_lora_weights'", init_lora_weights="pissa")
    setting("pooled-without-group-size", "key 'qalora_group_size'", use_qalora=True)
    setting("pooled-group-size-0", "key 'qalora_group_size'", use_qalora=True, qalora_group_size=0)
    setting("alpha-pattern-unmatched", "key 'alpha_pattern': 'q_proj'", alpha_pattern={"q_proj": 8})
    setting("alpha-pattern-text", "key 'alpha_pattern'", alpha_pattern={"up_proj": "8"})
    pair("rank-of-a-differs", (3, width), (width, 3), "lora_A.weight'", "rank 2")
    pair("rank-of-b-differs", (2, width), (width, 3), "lora_B.weight'", "rank 2")
    pair("without-a", None, (width, 2), "lora_A.weight' is missing")
    pair("without-b", (2, width), None, "lora_B.weight' is missing")
    pair("without-any", None, None, "the tensors of the adapter")
    pair("a-of-other-columns", (2, 16), (width, 2), "lora_A.weight'", "expected [2, 32]")
    pair("b-of-other-rows", (2, width), (16, 2), "lora_B.weight'", "expected [32, 2]")
    pair("a-of-one-dimension", (2,), (width, 2), "lora_A.weight'")
    pair("for-an-unknown-module", (2, width), (width, 2), "up_prj", prefix=PEFT.replace("up_proj", "up_prj"))
    add("unknown-tensor", SETTINGS, LORA | {PEFT + "lora_C.weight": (2, 2)}, "lora_C.weight'")
    add("other-prefix", SETTINGS, {name.replace("base_model.", ""): shape for name, shape in LORA.items()}, "lora_A.weight'")
    add("of-integers", SETTINGS, LORA, "is I32, not F16, BF16 or F32", dtype="I32", width=4)


def add_odd(catalogue):
    pass
