#!/usr/bin/env python3
"""Makes Fixtures/golden/gptq-peers.safetensors: what the GPTQ of two other programs makes of a weight and its inputs.

mlx-lm's `gptq_quantize` runs a model of one linear and finds the tables of a group in what is left of its weights when its turn
comes. llm-compressor's `quantize_weight` takes second moments, orders columns by their diagonal, and is given the tables.
Neither has the clip search, so it is restated here, in double precision, and handed to them: to mlx-lm in place of
`mx.quantize`, to llm-compressor as scales and zero points. Everything else is theirs, in single precision: damping, factor,
order, rounding, feedback.

Column 41 of the inputs is zero for llm-compressor; mlx-lm has no rule for such a column. The versions of both programs are in
the file's metadata.

Takes some seconds. Needs numpy, safetensors, torch, llmcompressor, mlx, mlx-lm.
usage: make-gptq-peer-golden.py OUTPUT-FILE
"""
import importlib.metadata
import sys
from unittest import mock

import mlx.core as mx
import mlx.nn
import mlx_lm.quant.gptq
import numpy as np
import torch
from compressed_tensors.quantization import QuantizationArgs
from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight
from safetensors.numpy import save_file

ROWS, COLUMNS, TOKENS, GROUP, BITS, DAMPING, DEAD = 32, 128, 160, 32, 2, 0.01, 41
TOP = 2**BITS - 1
FACTORS = np.float32(1 - 0.05 * np.arange(13)).astype(np.float64)


def search(weights, importance):
    """Scales and biases of every group: the pair of factors of its ends whose weighted error is least."""
    groups = weights.astype(np.float64).reshape(len(weights), -1, GROUP)
    importance = importance.reshape(-1, GROUP)
    low, high = groups.min(axis=2), groups.max(axis=2)
    candidates = []
    for r in FACTORS:
        for c in FACTORS:
            bias = low * c
            scale = np.maximum((high * r - bias) / TOP, 1e-8)
            codes = np.clip(np.round((groups - bias[..., None]) / scale[..., None]), 0, TOP)
            rounded = codes * scale[..., None] + bias[..., None]
            candidates.append((np.sum(importance * (rounded - groups) ** 2, axis=2), scale, bias))
    errors, scales, biases = (np.array(values) for values in zip(*candidates))
    ordered = np.sort(errors, axis=0)
    assert np.all(ordered[1] > ordered[0] * (1 + 1e-5)), "two candidates are too near to each other for single precision"
    best = errors.argmin(axis=0)[None]
    return tuple(np.take_along_axis(values, best, axis=0)[0].astype(np.float32) for values in (scales, biases))


class OneLinear(mlx.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.linear = mlx.nn.Linear(weights.shape[1], weights.shape[0], bias=False)
        self.linear.weight = mx.array(weights)

    def __call__(self, x):
        return self.linear(x)


def of_mlx_lm(weights, inputs):
    importance = np.mean(inputs.astype(np.float64) ** 2, axis=0)
    starts = []

    def quantize(part, *_, **__):
        """Stands in for mx.quantize: one group after the other, and at the end whole weights, for a layer that is filled later."""
        starts.append(GROUP * len(starts))
        if part.shape[1] == GROUP:
            scales, biases = search(np.array(part), importance[starts[-1] : starts[-1] + GROUP])
        else:
            scales = biases = np.zeros((ROWS, COLUMNS // GROUP), np.float32)
        return mx.zeros((ROWS, part.shape[1] * BITS // 32), dtype=mx.uint32), mx.array(scales), mx.array(biases)

    model = OneLinear(weights)
    with mock.patch.object(mx, "quantize", quantize):
        model, _ = mlx_lm.quant.gptq.gptq_quantize(model, mx.array(inputs), BITS, GROUP, BITS, GROUP, batch_size=32)
    words = np.array(model.linear.weight)
    codes = (words[..., None] >> np.arange(0, 32, BITS, dtype=np.uint32)) & TOP
    return codes.reshape(ROWS, COLUMNS), np.array(model.linear.scales), np.array(model.linear.biases)


def of_llm_compressor(weights, inputs):
    moments = inputs.T @ inputs / np.float32(TOKENS)
    scales, biases = search(weights, np.diag(moments).astype(np.float64))
    # Its codes begin at -2.
    lowest = -(2 ** (BITS - 1))
    zero_points = lowest - biases / scales
    arguments = QuantizationArgs(num_bits=BITS, symmetric=False, strategy="group", group_size=GROUP, actorder="weight")
    rounded, _, fallback = quantize_weight(
        *(torch.tensor(x)[None] for x in (weights, moments, scales, zero_points)), None, arguments,
        blocksize=48, percdamp=DAMPING)
    assert not fallback.any()
    scale, bias = np.repeat(scales, GROUP, axis=1), np.repeat(biases, GROUP, axis=1)
    codes = (rounded[0].numpy() - bias) / scale
    assert np.max(np.abs(codes - np.round(codes))) < 1e-4
    return np.round(codes), scales, biases


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    random = np.random.default_rng(1)
    mix = random.normal(size=(COLUMNS, COLUMNS)) / np.sqrt(COLUMNS) + np.eye(COLUMNS)
    inputs = (random.normal(size=(TOKENS, COLUMNS)) * np.exp(random.normal(size=COLUMNS))) @ mix
    inputs = inputs.astype(np.float16)
    weights = (0.05 * random.normal(size=(ROWS, COLUMNS))).astype(np.float16)
    tensors = {"inputs": inputs, "weights": weights}
    inputs, weights = inputs.astype(np.float32), weights.astype(np.float32)
    results = {
        "mlx-lm": of_mlx_lm(weights, inputs),
        "llmcompressor": of_llm_compressor(weights, np.where(np.arange(COLUMNS) == DEAD, np.float32(0), inputs)),
    }
    for name, (codes, scales, biases) in results.items():
        tensors |= {f"{name}.codes": codes.astype(np.uint8), f"{name}.scales": scales, f"{name}.biases": biases}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in results)
    save_file(tensors, sys.argv[1], {"made_with": versions})


main()
