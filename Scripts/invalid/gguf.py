"""GGUF files, Formats/gguf.md: the catalogue of test-gguf in llama.cpp, and what a model of the Llama family needs."""
import struct

from catalogue import EVALUATE, HASH, INSPECT

FOLDER = "gguf/"
U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
FORMS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
T_F32, T_F16, T_Q4_0, T_Q8_0, T_Q2_0 = 0, 1, 2, 8, 42
WIDTH, HEADS = 4, 2


def text(value):
    value = value if isinstance(value, bytes) else value.encode("utf-8")
    return struct.pack("<Q", len(value)) + value


def value(kind, content):
    if kind == TEXT:
        return text(content)
    if kind == ARRAY:
        element, contents = content
        return struct.pack("<IQ", element, len(contents)) + b"".join(value(element, c) for c in contents)
    return struct.pack("<" + FORMS[kind], content)


def key(name, kind, content):
    return text(name) + struct.pack("<I", kind) + value(kind, content)


def tensor(name, dimensions, offset, kind=T_F32):
    shape = b"".join(struct.pack("<Q", dimension) for dimension in dimensions)
    return text(name) + struct.pack("<I", len(dimensions)) + shape + struct.pack("<IQ", kind, offset)


def start(tensors=0, keys=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def file(keys=(), tensors=(), data=b"", alignment=32):
    header = start(len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + data if tensors else header


def hyperparameters(**changes):
    table = {
        "general.architecture": (TEXT, "llama"), "llama.block_count": (U32, 1), "llama.context_length": (U32, 16),
        "llama.embedding_length": (U32, WIDTH), "llama.feed_forward_length": (U32, WIDTH),
        "llama.attention.head_count": (U32, HEADS), "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        **changes,
    }  # fmt: skip
    return [key(name, *entry) for name, entry in table.items() if entry]


def parts():
    vectors = ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"]
    matrices = ["token_embd"] + [f"blk.0.attn_{part}" for part in ("q", "k", "v", "output")]
    matrices += [f"blk.0.ffn_{part}" for part in ("gate", "up", "down")]
    return {name + ".weight": [WIDTH] for name in vectors} | {name + ".weight": [WIDTH, WIDTH] for name in matrices}


def model(changes=None, shapes=None, more=()):
    """A whole model of one layer, all zeros."""
    infos, offset = [], 0
    for name, shape in (parts() if shapes is None else shapes).items():
        infos.append(tensor(name, shape, offset))
        count = 4
        for dimension in shape:
            count *= dimension
        offset += count + -count % 32
    return file(hyperparameters(**(changes or {})) + list(more), infos, bytes(offset))


def add_invalid(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".gguf", contents, command, says)

    add_headers(add)
    add_keys(add)
    add_tensors(add)
    add_data(add)
    add_models(add)
    add_tokenizers(add)


def add_headers(add):
    add("empty-file", b"", "does not begin with 'GGUF'")
    add("bad-magic", b"GGML" + start()[4:], "does not begin with 'GGUF'")
    add("magic-only", b"GGUF", "byte 4: needs 4 bytes, 0 are left")
    add("header-cut-short", start()[:20], "byte 16: needs 8 bytes, 4 are left")
    for version in (0, 1, 4, 0xFFFF_FFFF):
        add(f"version-{version}", start(version=version), f"byte 4: version {version}")
    add("big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "byte 4: a big-endian file")
    add("tensor-count-minus-1", start(tensors=(1 << 64) - 1), "byte 8: 18446744073709551615 tensors, the file has room for 0")
    add("key-count-minus-1", start(keys=(1 << 64) - 1), "byte 16: 18446744073709551615 keys, the file has room for 0")
    add("tensor-count-2-to-62", start(tensors=1 << 62), "byte 8: 4611686018427387904 tensors")
    add("key-count-too-large", start(keys=3) + bytes(40), "byte 16: 3 keys, the file has room for 2")
    add("without-keys", start(), "key 'general.architecture' is missing")


def add_keys(add):
    def one(name, contents, *says):
        add(name, start(keys=1) + contents + bytes(16), *says)

    huge = (1 << 64) - 1
    one("key-length-minus-1", struct.pack("<Q", huge) + b"a", "byte 24: key 0: needs 9223372036854775807 bytes")
    one("key-length-2-to-62", struct.pack("<Q", 1 << 62) + b"a", "byte 24: key 0: needs 4611686018427387904 bytes")
    one("key-empty", key("", U8, 1), "byte 24: key 0: a key of 0 bytes")
    one("key-of-65536-bytes", key("k" * 65536, U8, 1), "byte 24: key 0: a key of 65536 bytes")
    one("key-not-utf8", key(b"\xff", U8, 1), "byte 32: key 0: the text is not UTF-8")
    one("value-type-13", text("a") + struct.pack("<I", 13), "key 'a': value type 13")
    one("value-type-2-to-32-minus-1", text("a") + struct.pack("<I", (1 << 32) - 1), "key 'a': value type 4294967295")
    one("truth-value-2", key("a", BOOL, 2), "key 'a': truth value 2")
    one("text-length-minus-1", text("a") + struct.pack("<IQ", TEXT, huge), "key 'a': needs 9223372036854775807 bytes")
    one("text-not-utf8", key("a", TEXT, b"\xc3\x28"), "key 'a': the text is not UTF-8")
    one("array-of-arrays", text("a") + struct.pack("<IIQ", ARRAY, ARRAY, 1), "key 'a': an array of arrays")
    one("array-of-unknown-type", text("a") + struct.pack("<IIQ", ARRAY, 99, 1), "key 'a': value type 99")
    one("array-count-minus-1", text("a") + struct.pack("<IIQ", ARRAY, U32, huge), "key 'a': 18446744073709551615 values")
    one("array-count-times-size-overflows", text("a") + struct.pack("<IIQ", ARRAY, U64, 1 << 61), "key 'a': 230584300921369395")
    one("array-past-the-end", text("a") + struct.pack("<IIQ", ARRAY, U8, 17), "key 'a': 17 values, the file has room for 16")
    add("value-cut-short", start(keys=1) + key("aa", U64, 1)[:-1], "key 'aa': needs 8 bytes, 7 are left")
    twice = key("a", U8, 1) + key("a", U16, 2)
    add("duplicate-key", start(keys=2) + twice, "key 'a': is there twice")
    for number in (0, 1, 3, 7, 48, (1 << 32) - 1):
        stated = key("general.alignment", U32, number)
        add(f"alignment-{number}", start(keys=1) + stated, "key 'general.alignment': ", "is not a power of two from 8")
    add("alignment-of-another-type", start(keys=1) + key("general.alignment", U64, 32), "key 'general.alignment': is not a u32")
    add("alignment-is-text", start(keys=1) + key("general.alignment", TEXT, "32"), "key 'general.alignment': is not a u32")


def add_tensors(add):
    def one(name, info, *says, data=bytes(64)):
        add(name, file([], [info], data), *says)

    def shaped(name, dimensions, *says, kind=T_F32):
        one(name, tensor("a", dimensions, 0, kind), "tensor 'a': ", *says)

    huge = (1 << 64) - 1
    one("name-empty", tensor("", [4], 0), "tensor 0: a name of 0 bytes")
    one("name-of-64-bytes", tensor("n" * 64, [4], 0), "tensor 0: a name of 64 bytes, not 1 to 63")
    one("name-length-minus-1", struct.pack("<Q", huge) + bytes(16), "tensor 0: needs 9223372036854775807 bytes")
    one("name-not-utf8", tensor(b"\xff", [4], 0), "tensor 0: the text is not UTF-8")
    shaped("no-dimensions", [], "0 dimensions, not 1 to 4")
    shaped("5-dimensions", [1] * 5, "5 dimensions, not 1 to 4")
    many = text("a") + struct.pack("<I", (1 << 32) - 1) + bytes(16)
    one("2-to-32-minus-1-dimensions", many, "tensor 'a': 4294967295 dimensions, not 1 to 4")
    shaped("dimension-minus-1", [huge], "a dimension of 18446744073709551615")
    shaped("dimension-2-to-63", [1 << 63, 1], "a dimension of 9223372036854775808")
    shaped("elements-overflow", [1 << 32, 1 << 32], "shape [4294967296, 4294967296] overflows")
    shaped("elements-overflow-without-the-zero", [0, 1 << 62, 1 << 62], "overflows")
    shaped("bytes-overflow", [1 << 61], "shape [2305843009213693952] overflows")
    shaped("bytes-of-2-to-57", [1 << 55], "needs 144115188075855872 bytes, 64 are left")
    for number in (4, 15, 31, 999, (1 << 32) - 1):
        shaped(f"tensor-type-{number}", [32], f"tensor type {number}", kind=number)
    shaped("row-of-half-a-block", [48, 2], "rows of 48 values are not whole Q4_0 blocks of 32", kind=T_Q4_0)
    one("offset-not-0", tensor("a", [4], 32), "tensor 'a': its offset is 32, the tensors before it end at 0")
    one("offset-not-aligned", tensor("a", [4], 4), "tensor 'a': its offset is 4")
    one("offset-minus-1", tensor("a", [4], huge), "tensor 'a': its offset is 18446744073709551615")
    older = tensor("a", [128], 0, T_Q2_0)
    one("older-blocks-of-type-42", older, "tensor 'a': is of type 42 in its older blocks of 128 weights", data=bytes(34))
    cut = start(tensors=1) + tensor("a", [4], 0)[:-1]
    add("tensor-cut-short", cut, "tensor 'a': needs 8 bytes, 7 are left")

    def pair(name, second, *says, first=tensor("a", [4], 0), data=bytes(64)):
        add(name, file([], [first, second], data), *says)

    pair("duplicate-tensor", tensor("a", [4], 32), "tensor 'a': is there twice")
    pair("overlapping-tensors", tensor("b", [4], 0), "tensor 'b': its offset is 0, the tensors before it end at 32")
    pair("hole-between-tensors", tensor("b", [4], 64), "tensor 'b': its offset is 64", data=bytes(96))
    pair("second-without-padding", tensor("b", [4], 16), "tensor 'b': its offset is 16")
    large = tensor("a", [1 << 57], 0)
    pair("sum-of-sizes-overflows", tensor("b", [4], 1 << 59), "tensor 'a': needs 576460752303423488 bytes", first=large)
    add("inconsistent-alignment", file([key("general.alignment", U32, 64)], [tensor("a", [4], 0), tensor("b", [4], 32)],
        bytes(128), 64), "tensor 'b': its offset is 32, the tensors before it end at 64")  # fmt: skip


def add_data(add):
    one = [tensor("a", [16], 0)]
    add("data-missing", file([], one), "tensor 'a': needs 64 bytes, 0 are left")
    add("data-cut-short", file([], one, bytes(63)), "tensor 'a': needs 64 bytes, 63 are left")
    add("bytes-behind-the-data", file([], one, bytes(96)), "32 bytes follow the last tensor")
    header = start(1, 0) + one[0]
    add("data-without-padding-before-it", header + bytes(60), "tensor 'a': needs 64 bytes")
    add("alignment-of-2-to-31", file([key("general.alignment", U32, 1 << 31)], one, bytes(64)), "tensor 'a': needs 64 bytes")


def add_models(add):
    def change(name, table, *says, shapes=None):
        add("model-" + name, model(table, shapes), *says)

    def without(*names):
        return {name: shape for name, shape in parts().items() if name not in names}

    change("of-another-architecture", {"general.architecture": (TEXT, "mpt")}, "key 'general.architecture': architecture 'mpt'")
    change("architecture-is-number", {"general.architecture": (U32, 1)}, "key 'general.architecture': is not a text")
    change("is-an-adapter", {"general.type": (TEXT, "adapter")}, "key 'general.type': 'adapter' is not a model")
    change("in-3-files", {"split.count": (U16, 3)}, "key 'split.count': is one of 3 files")
    change("of-8-experts", {"llama.expert_count": (U32, 8)}, "key 'llama.expert_used_count' is missing")
    change("with-unknown-key", {"llama.logit_scale": (F32, 2)}, "key 'llama.logit_scale': a model with this key")
    change("without-layers", {"llama.block_count": None}, "key 'llama.block_count' is missing")
    change("of-0-layers", {"llama.block_count": (U32, 0)}, "key 'llama.block_count': 0 is not from 1 to 2^24")
    change("of-minus-1-layers", {"llama.block_count": (I32, -1)}, "key 'llama.block_count': -1 is not from 1 to 2^24")
    change("of-2-layers", {"llama.block_count": (U32, 2)}, "tensor 'blk.1.attn_norm.weight' is missing")
    change("of-2-to-24-layers", {"llama.block_count": (U32, 1 << 24)}, "key 'llama.block_count': 16777216 is not from 1 to 4096")
    change("of-2-to-63-layers", {"llama.block_count": (U64, 1 << 63)}, "key 'llama.block_count': is not an integer")
    change("layers-as-text", {"llama.block_count": (TEXT, "1")}, "key 'llama.block_count': is not an integer")
    change("heads-do-not-divide", {"llama.attention.head_count": (U32, 3)}, "3 does not divide the width 4")
    change("head-of-odd-width", {"llama.attention.head_count": (U32, 4)}, "the width of a head, 1, is odd")
    change("heads-per-layer", {"llama.attention.head_count": (ARRAY, (U32, [2]))}, "is not an integer")
    change("epsilon-is-nan", {"llama.attention.layer_norm_rms_epsilon": (F32, float("nan"))}, "is not a finite number")
    change("rope-scaling-yarn", {"llama.rope.scaling.type": (TEXT, "yarn")}, "key 'llama.rope.scaling.factor' is missing")
    change("rope-base-0", {"llama.rope.freq_base": (F32, 0)}, "key 'llama.rope.freq_base': 0.0 is not more than 1")
    change("without-embedding", {}, "tensor 'token_embd.weight' is missing", shapes=without("token_embd.weight"))
    change("without-norm", {}, "tensor 'output_norm.weight' is missing", shapes=without("output_norm.weight"))
    change("with-unknown-tensor", {}, "tensor 'blk.0.extra.weight': no such tensor is known", shapes=parts() | {"blk.0.extra.weight": [4]})
    change("with-tensor-of-layer-9", {}, "tensor 'blk.9.ffn_up.weight': no such tensor", shapes=parts() | {"blk.9.ffn_up.weight": [4, 4]})
    change("queries-of-another-shape", {}, "tensor 'blk.0.attn_q.weight': shape [2, 4] is not that of 2 heads of 2 rows",
           shapes=parts() | {"blk.0.attn_q.weight": [4, 2]})  # fmt: skip
    change("frequencies-of-another-kind", {}, "has factors other than those of Llama 3",
           shapes=parts() | {"rope_freqs.weight": [2]})  # fmt: skip
    add("statement-not-json", model(more=[key("rilq.quantization", TEXT, "{")]), "key 'rilq.quantization'")
    add("statement-of-unknown-module", model(more=[key("rilq.quantization", TEXT, '{"modules":{"m":{"bits":2,"group_size":64}}}')]),
        "key 'rilq.quantization'")  # fmt: skip
    add("statement-is-number", model(more=[key("rilq.quantization", U32, 1)]), "key 'rilq.quantization': is not a text")
    add("metadata-is-array", model(more=[key("rilq.metadata", TEXT, "[]")]), "key 'rilq.metadata': is not an object")


TOKENIZER = {
    "tokenizer.ggml.model": (TEXT, "gpt2"), "tokenizer.ggml.pre": (TEXT, "gpt-2"),
    "tokenizer.ggml.tokens": (ARRAY, (TEXT, ["a", "b", "ab", "c"])),
    "tokenizer.ggml.token_type": (ARRAY, (I32, [1, 1, 1, 1])), "tokenizer.ggml.merges": (ARRAY, (TEXT, ["a b"])),
}  # fmt: skip


def add_tokenizers(add):
    def change(name, part, entry, *says, command=INSPECT):
        table = TOKENIZER | {"tokenizer.ggml." + part: entry}
        add("tokenizer-" + name, model(table), *says, command=command)

    change("of-another-kind", "model", (TEXT, "t5"), "tokenizer 't5' is not supported", command=EVALUATE)
    change("scores-missing", "model", (TEXT, "llama"), "key 'tokenizer.ggml.scores' is missing")
    change("pre-unknown", "pre", (TEXT, "mystery"), "pre-tokenizer 'mystery'", command=EVALUATE)
    change("pre-missing", "pre", None, "without key 'tokenizer.ggml.pre'", command=EVALUATE)
    change("tokens-missing", "tokens", None, "key 'tokenizer.ggml.tokens' is missing")
    change("tokens-are-numbers", "tokens", (ARRAY, (U32, [1, 2, 3, 4])), "is not a list of texts")
    change("tokens-too-few", "tokens", (ARRAY, (TEXT, ["a", "b"])), "2 tokens, the embedding has 4")
    change("token-empty", "tokens", (ARRAY, (TEXT, ["a", "", "ab", "c"])), "token 1 is empty")
    change("token-twice", "tokens", (ARRAY, (TEXT, ["a", "b", "ab", "a"])), "tokens 0 and 3 are the same, 'a'")
    change("types-too-few", "token_type", (ARRAY, (I32, [1])), "1 types of 4 tokens")
    change("type-unknown", "token_type", (ARRAY, (I32, [1, 1, 77, 1])), "token 2 of type 77", command=EVALUATE)
    change("merges-missing", "merges", None, "key 'tokenizer.ggml.merges' is missing")
    change("merge-of-one-part", "merges", (ARRAY, (TEXT, ["ab"])), "merge 0, 'ab', is not two parts")
    change("merge-of-three-parts", "merges", (ARRAY, (TEXT, ["a b c"])), "merge 0, 'a b c', is not two parts")
    change("merge-with-empty-part", "merges", (ARRAY, (TEXT, [" b"])), "merge 0, ' b', is not two parts")
    change("end-token-out-of-range", "eos_token_id", (U32, 4), "key 'tokenizer.ggml.eos_token_id': token 4 of 4")
    change("begin-token-negative", "bos_token_id", (I32, -1), "key 'tokenizer.ggml.bos_token_id': token -1")
    change("add-begin-is-number", "add_bos_token", (U32, 1), "key 'tokenizer.ggml.add_bos_token': is not a truth value")


def add_odd(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".gguf", contents, command, says, code=0)

    whole = model()
    add("smallest-model", whole, '"name": "model.embed_tokens.weight"')
    add("version-2", whole[:4] + struct.pack("<I", 2) + whole[8:], '"format": "gguf"')
    add("last-tensor-without-padding", model(shapes=parts() | {"output.weight": [WIDTH, 1]})[:-16], '"lm_head.weight"')
    add("control-characters-in-key", model({"a\x1b[2J": (TEXT, "\x00")}), '"metadata"')
    add("alignment-of-8", eight(), "content", command=HASH)
    add("tokenizer", model(TOKENIZER), '"tokenizer"')
    other = model(TOKENIZER | {"tokenizer.ggml.model": (TEXT, "t5")})
    add("tokenizer-of-another-kind", other, '"model": "t5"', '"vocabulary_size": 4', "tokenizer 't5' is not supported")


def eight():
    """A model whose tensors lie on multiples of 8 bytes."""
    infos, offset = [], 0
    for name, shape in parts().items():
        infos.append(tensor(name, shape, offset))
        offset += 16 if len(shape) == 1 else 64
    return file(hyperparameters(**{"general.alignment": (U32, 8)}), infos, bytes(offset), 8)
