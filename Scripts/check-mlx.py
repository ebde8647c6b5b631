#!/usr/bin/env python3
"""Compares MLX's dequantize of an MLX folder that rilq wrote with Formats/packed.md, and lets mlx-lm generate from it.

usage: check-mlx.py FOLDER [TOKENS]

With tables widened to float32 mx.dequantize must be equal bit for bit; in the dtype of the tables it must be the same value
rounded step by step. With TOKENS mlx-lm loads the folder and continues a prompt. Needs numpy, mlx and, for TOKENS, mlx-lm.
"""

import pathlib
import sys

import checkpoint
import mlx.core as mx
import numpy as np


def in_steps(codes, scales, biases):
    """The product and the sum each rounded to the dtype of the tables."""
    rows, groups = scales.shape
    q = mx.array(codes.reshape(rows, groups, -1)).astype(scales.dtype)
    return (scales[:, :, None] * q + biases[:, :, None]).reshape(rows, -1)


def main(folder, tokens=0):
    _, weights, packing, unpacked = checkpoint.read(folder)
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update(mx.load(str(path)))
    for module, (bits, group, dtype) in packing.items():
        codes, scales, biases = (tensors[module + part] for part in (".weight", ".scales", ".biases"))
        wide = mx.dequantize(
            codes, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=bits)
        if not np.array_equal(np.array(wide), weights[module + ".weight"]):
            sys.exit(f"{module}: differs in float32")
        own = mx.dequantize(codes, scales, biases, group_size=group, bits=bits)
        if not mx.array_equal(own, in_steps(unpacked[module], scales, biases)):
            sys.exit(f"{module}: differs in {dtype}")
    print(f"{len(packing)} modules equal")
    if tokens:
        import mlx_lm

        model, tokenizer = mlx_lm.load(folder)
        print(repr(mlx_lm.generate(model, tokenizer, prompt="The capital of France is", max_tokens=tokens)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
