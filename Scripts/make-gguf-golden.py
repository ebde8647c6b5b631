#!/usr/bin/env python3
"""Makes Fixtures/gguf/ with gguf 0.19.0, numpy and safetensors.

blocks.safetensors   random blocks of every type that gguf can decode, and the floats it decodes them to
tiny-llama.gguf      Fixtures/tiny-llama as llama.cpp's converter lays it out: matrices in BF16, vectors in F32, the
                     rows of queries and keys interleaved

usage: python3 Scripts/make-gguf-golden.py
"""

import json
import re
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "Fixtures" / "gguf"

# Where the half-precision numbers of a block are; random bytes there would be infinite now and then.
HALVES = {
    Type.F16: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.TQ1_0: [52], Type.TQ2_0: [64], Type.MXFP4: [],
    Type.IQ2_XS: [0], Type.IQ2_S: [0], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
    Type.IQ2_XXS: [0], Type.IQ3_XXS: [0], Type.IQ3_S: [0], Type.IQ1_S: [0], Type.IQ1_M: [],
    Type.NVFP4: [],
}  # fmt: skip


def blocks(random, kind):
    """Random blocks whose scales are finite: of usual size, tiny, subnormal, negative and zero."""
    weights, size = GGML_QUANT_SIZES[kind]
    count = 8 if weights == 256 else 16
    data = random.integers(0, 256, (count, size), dtype=np.uint8)

    def halves():
        scales = random.normal(0, 1, count) * 2.0 ** random.integers(-26, 4, count)
        scales[0] = 0
        return scales.astype("<f2")

    for offset in HALVES[kind]:
        data[:, offset : offset + 2] = halves().view(np.uint8).reshape(count, 2)
    if kind == Type.IQ1_M:
        # Four bits of the number are the uppermost of each of the last four words, the lowest bits first.
        nibbles = halves().view("<u2")[:, None] >> np.array([0, 4, 8, 12], "<u2") & 15
        words = np.ascontiguousarray(data[:, 48:56]).view("<u2") & 0x0FFF | nibbles << 12
        data[:, 48:56] = words.view(np.uint8)
    return data


def make_blocks():
    random = np.random.default_rng(1)
    tensors = {}
    for kind in HALVES:
        data = blocks(random, kind)
        tensors[kind.name + ".blocks"] = data
        tensors[kind.name + ".values"] = np.ascontiguousarray(dequantize(data, kind).astype(np.float32))
    save_file(tensors, OUT / "blocks.safetensors")


NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def read_safetensors(path):
    """Tensors of BF16 as 16-bit integers."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    for name, entry in json.loads(raw[8:end]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            yield name, np.frombuffer(raw[end + first : end + last], "<u2").reshape(entry["shape"])


def gguf_name(name):
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    return f"blk.{layer[1]}.{NAMES[layer[2]]}.weight" if layer else NAMES[name.removesuffix(".weight")] + ".weight"


def make_model():
    source = ROOT / "Fixtures" / "tiny-llama"
    config = json.loads((source / "config.json").read_text())
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    writer = GGUFWriter(OUT / "tiny-llama.gguf", "llama")
    writer.add_name("tiny-llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(32)

    vocabulary = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.get)
    assert list(map(vocabulary.get, tokens)) == list(range(config["vocab_size"]))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i in special else 1 for i in range(len(tokens))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for shard in sorted(source.glob("*.safetensors")):
        for name, bits in read_safetensors(shard):
            name = gguf_name(name)
            part = name.split(".")[-2]
            if part in heads:
                n = heads[part]
                bits = bits.reshape(n, 2, bits.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(bits.shape)
            if bits.ndim == 1:
                writer.add_tensor(name, (bits.astype("<u4") << 16).view("<f4"))
            else:
                writer.add_tensor(name, np.ascontiguousarray(bits).view(np.uint8), raw_dtype=Type.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


OUT.mkdir(exist_ok=True)
make_blocks()
make_model()
