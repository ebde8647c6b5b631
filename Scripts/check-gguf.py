#!/usr/bin/env python3
"""Compares a GGUF file that rilq wrote with the folder of the same checkpoint, through the gguf package.

usage: check-gguf.py FOLDER FILE.gguf [TOLERANCE]

Every tensor is dequantized by gguf, its rows are put back in order, and it must equal the weight of the folder bit for bit
(or within TOLERANCE). gguf 0.19 does not know Q2_0. Needs numpy and gguf.
"""

import sys

import checkpoint
import gguf
import numpy as np

NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def name_in_folder(name):
    parts = name.split(".")
    if parts[0] != "blk":
        return TOP[parts[0]] + ".weight"
    return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"


def put_back(weight, heads):
    """The inverse of the permutation of llama.cpp's converter."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def main(folder, path, tolerance=0.0):
    config, weights, _, _ = checkpoint.read(folder)
    reader = gguf.GGUFReader(path)
    heads = config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads", heads)
    worst, counts = 0.0, {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            continue
        expected = weights.pop(name_in_folder(tensor.name))
        shape = tuple(int(n) for n in reversed(tensor.shape))
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        if ".attn_q." in tensor.name:
            values = put_back(values, heads)
        if ".attn_k." in tensor.name:
            values = put_back(values, key_heads)
        assert values.dtype == np.float32 and values.shape == expected.shape, tensor.name
        difference = float(np.abs(values - expected).max())
        if difference > tolerance:
            sys.exit(f"{tensor.name}: differs by {difference}")
        worst = max(worst, difference)
        counts[tensor.tensor_type.name] = counts.get(tensor.tensor_type.name, 0) + 1
    if weights:
        sys.exit(f"not in the file: {sorted(weights)}")
    fields = {key: field.contents() for key, field in reader.fields.items()}
    assert fields["llama.vocab_size"] == config["vocab_size"] == len(fields["tokenizer.ggml.tokens"])
    assert fields["llama.block_count"] == config["num_hidden_layers"]
    assert len(fields["tokenizer.ggml.token_type"]) == config["vocab_size"]
    print("equal" if worst == 0 else f"within {worst}", *(f"{n} {t}" for t, n in sorted(counts.items())))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(float, sys.argv[3:]))
