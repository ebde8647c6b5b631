#!/usr/bin/env python3
"""Makes Fixtures/golden/quantizers.safetensors: small weights, inputs, and what the quantizers make of them.

GPTQ is solved directly: before each column the inverse of the damped moments of the columns that are left is computed by
itself, as in Optimal Brain Quantization (arXiv:2208.11580, equations 1 and 2), and no factor of anything is used. The clip
search is the plain double loop. All in double precision; every pair of neighbouring candidates differs by far more than
the rounding of single precision, which is checked.

Takes some seconds. Needs numpy, safetensors.
usage: make-quantizer-golden.py OUTPUT-FILE
"""
import sys

import numpy as np
from safetensors.numpy import save_file

ROWS, COLUMNS, TOKENS, GROUP, BITS, DAMPING = 12, 96, 160, 32, 2, 0.01
TOP = 2**BITS - 1
FACTORS = np.float32(1 - 0.05 * np.arange(13)).astype(np.float64)


def margin(best, others, what):
    """Fails when a choice hangs on less than what single precision rounds."""
    least = np.min(np.abs(np.asarray(others) - best)) if len(others) else np.inf
    assert least > 2e-6 * max(abs(best), 1e-9), f"{what}: {best} is too near to {least}"


def search(w, importance):
    """Scale and bias of one group of one row."""
    low, high = w.min(), w.max()
    candidates = []
    for r in FACTORS:
        for c in FACTORS:
            bias = low * c
            scale = max((high * r - bias) / TOP, 1e-8)
            code = np.clip(np.round((w - bias) / scale), 0, TOP)
            candidates.append((np.sum(importance * (code * scale + bias - w) ** 2), scale, bias))
    errors = np.array([c[0] for c in candidates])
    best = int(errors.argmin())
    margin(errors[best], np.delete(errors, best), "search")
    return candidates[best][1:]


def nearest(w, scale, bias):
    position = (w - bias) / scale
    if 0 < position < TOP:
        assert abs(position - np.floor(position) - 0.5) > 2e-5, "a weight between two codes"
    return np.clip(np.round(position), 0, TOP)


def gptq(weights, moments, activation_order):
    importance = np.diag(moments).copy()
    dead = importance == 0
    damped = moments + np.diag(np.where(dead, 1.0, 0.0))
    damped = damped + np.eye(COLUMNS) * DAMPING * np.mean(np.diag(damped))
    order = sorted(range(COLUMNS), key=lambda i: (-importance[i], i)) if activation_order else list(range(COLUMNS))
    codes = np.zeros(weights.shape)
    scales, biases = np.zeros((ROWS, COLUMNS // GROUP)), np.zeros((ROWS, COLUMNS // GROUP))
    for row in range(ROWS):
        w = weights[row].copy()
        w[dead] = 0
        if activation_order:
            for g in range(COLUMNS // GROUP):
                part = slice(g * GROUP, (g + 1) * GROUP)
                scales[row, g], biases[row, g] = search(weights[row, part], importance[part])
        for position, column in enumerate(order):
            g = column // GROUP
            if not activation_order and column % GROUP == 0:
                part = slice(column, column + GROUP)
                scales[row, g], biases[row, g] = search(w[part], importance[part])
            left = order[position:]
            inverse = np.linalg.inv(damped[np.ix_(left, left)])
            codes[row, column] = nearest(w[column], scales[row, g], biases[row, g])
            error = w[column] - (codes[row, column] * scales[row, g] + biases[row, g])
            w[left] -= error / inverse[0, 0] * inverse[0]
    return codes, scales, biases


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    random = np.random.default_rng(1)
    mix = random.normal(size=(COLUMNS, COLUMNS)) / np.sqrt(COLUMNS) + np.eye(COLUMNS)
    inputs = (random.normal(size=(TOKENS, COLUMNS)) * np.exp(random.normal(size=COLUMNS))) @ mix
    inputs[:, 41] = 0
    inputs = inputs.astype(np.float32)
    weights = (0.05 * random.normal(size=(ROWS, COLUMNS))).astype(np.float32)
    x, w = inputs.astype(np.float64), weights.astype(np.float64)
    moments = x.T @ x / TOKENS
    tensors = {"inputs": inputs, "weights": weights}

    importance = np.diag(moments)
    found = np.array([[search(w[r, g : g + GROUP], importance[g : g + GROUP]) for g in range(0, COLUMNS, GROUP)]
                      for r in range(ROWS)])
    tensors["search.scales"], tensors["search.biases"] = found[..., 0], found[..., 1]
    for name, activation_order in (("gptq", False), ("gptq_activation_order", True)):
        tensors[f"{name}.codes"], tensors[f"{name}.scales"], tensors[f"{name}.biases"] = gptq(w, moments, activation_order)
    for name, tensor in tensors.items():
        tensors[name] = tensor.astype(np.uint8 if name.endswith("codes") else np.float32)
    save_file(tensors, sys.argv[1])


main()
