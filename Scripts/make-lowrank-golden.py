#!/usr/bin/env python3
"""Makes Fixtures/golden/lowrank.safetensors: errors of weights, inputs, and the best products of a low rank.

Everything is solved directly in double precision and another way than in `Passes/LowRank`: the weighted approximations through
the singular values of the error times a symmetric square root of the moments, and back through its inverse; the best change
of biases by least squares on the inputs themselves; output errors by multiplying inputs with what is left; pooled inputs as
a matrix product with the indicator of groups, before any moment is taken.

Takes a second. Needs numpy, safetensors.
usage: make-lowrank-golden.py OUTPUT-FILE
"""
import sys

import numpy as np
from safetensors.numpy import save_file

TOKENS, RANK, GROUP = 160, 4, 8
SHAPES = {"wide": (20, 48), "tall": (60, 32)}


def truncated(matrix, rank):
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def root(moments):
    values, vectors = np.linalg.eigh(moments)
    return (vectors * np.sqrt(values)) @ vectors.T


def weighted(matrix, moments, rank):
    """The product of a rank that is nearest to a matrix in the norm of its rows that the moments give."""
    square_root = root(moments)
    return truncated(matrix @ square_root, rank) @ np.linalg.inv(square_root)


def output_error(error, inputs):
    return np.sum((inputs @ error.T) ** 2) / len(inputs)


def case(random, rows, columns):
    mix = random.normal(size=(columns, columns)) / np.sqrt(columns) + np.eye(columns)
    inputs = ((random.normal(size=(TOKENS, columns)) * np.exp(random.normal(size=columns))) @ mix).astype(np.float32)
    # A falling spectrum, so that the leading directions are well apart.
    u, _, v = np.linalg.svd(random.normal(size=(rows, columns)), full_matrices=False)
    error = ((u * 0.85 ** np.arange(min(rows, columns))) @ v).astype(np.float32)
    x, e = inputs.astype(np.float64), error.astype(np.float64)
    moments = x.T @ x / TOKENS
    groups = np.kron(np.eye(columns // GROUP), np.ones((GROUP, 1)))
    pooled = x @ groups
    biases = np.linalg.lstsq(pooled, x @ e.T, rcond=None)[0].T
    plain_biases = e @ groups / GROUP
    ranks = range(min(rows, columns) + 1)
    return {
        "inputs": inputs,
        "error": error,
        "svd": truncated(e, RANK),
        "qera": weighted(e, moments, RANK),
        "biases": biases,
        "biases.low_rank": weighted(biases, pooled.T @ pooled / TOKENS, 2),
        "biases.plain_low_rank": truncated(plain_biases, 2),
        "singular_values": np.linalg.svd(e, compute_uv=False),
        "output_error.svd": np.array([output_error(e - truncated(e, k), x) for k in ranks]),
        "output_error.qera": np.array([output_error(e - weighted(e, moments, k), x) for k in ranks]),
    }


def truncated_back(matrix, rank, gradients, moments):
    """What of a change, seen through the roots of both moments, is kept with a rank."""
    return np.linalg.inv(root(gradients)) @ truncated(matrix, rank) @ np.linalg.inv(root(moments))


def align_then_correct(random, rows=14, columns=10, group=1, rank=RANK):
    """Both stages of Align-Then-Correct, arXiv:2610.08164, with symmetric roots as it is published.

    With groups the change is that of biases: the same stages for a linear that reads the sums of groups.
    """
    tokens, eta, tau = 96, 0.3, 0.2
    inputs = (random.normal(size=(tokens, columns)) * np.exp(random.normal(size=columns))).astype(np.float32)
    originals = (inputs + 0.3 * random.normal(size=inputs.shape)).astype(np.float32)
    gradients = (random.normal(size=(tokens, rows)) @ random.normal(size=(rows, rows))).astype(np.float32)
    weight = random.normal(size=(rows, columns)).astype(np.float32)
    quantized = np.round(weight).astype(np.float32)
    x, xq, g, w, wq = (a.astype(np.float64) for a in (originals, inputs, gradients, weight, quantized))
    seen = xq @ np.kron(np.eye(columns // group), np.ones((group, 1)))
    hx, hz = seen.T @ seen / tokens, g.T @ g / tokens
    damped_x = hx + 3e-2 * np.mean(np.diag(hx)) * np.eye(len(hx))
    damped_z = hz + 1e-2 * np.mean(np.diag(hz)) * np.eye(rows)
    missing = (x @ w.T - xq @ wq.T).T @ seen / tokens
    aligned = eta * truncated_back(
        root(damped_z) @ missing @ np.linalg.inv(root(damped_x)), rank, damped_z, damped_x)
    damped_x = hx + 1e-2 * np.linalg.eigvalsh(hx)[-1] * np.eye(len(hx))
    damped_z = hz + 1e-2 * np.linalg.eigvalsh(hz)[-1] * np.eye(rows)
    start = root(damped_z) @ aligned @ root(damped_x)
    slope = np.linalg.inv(root(damped_z)) @ (g.T @ seen / tokens) @ np.linalg.inv(root(damped_x))
    step = min(1, tau * np.linalg.norm(start) / np.linalg.norm(slope))
    return {
        "inputs": inputs,
        "original_inputs": originals,
        "gradients": gradients,
        "weight": weight,
        "quantized": quantized,
        "aligned": aligned,
        "corrected": truncated_back(start - step * slope, rank, damped_z, damped_x),
    }


def rounded(weight, group):
    """Two bits to nearest, as singles, and how far the nearest tie between two codes was, in steps."""
    groups = weight.astype(np.float32).reshape(weight.shape[0], -1, group)
    bias = groups.min(axis=2, keepdims=True)
    scale = (groups.max(axis=2, keepdims=True) - bias) / np.float32(3)
    codes = (groups - bias) / scale
    margin = np.min(np.abs(codes - np.floor(codes) - 0.5))
    return (scale * np.rint(codes) + bias).reshape(weight.shape), margin


def alternated(random):
    """LoftQ, arXiv:2310.08659, algorithm 1: rounding and the truncated singular value decomposition in turn."""
    rows, columns, group = 16, 64, 32
    weight = (random.normal(size=(rows, 6)) @ random.normal(size=(6, columns)) + random.normal(size=(rows, columns)))
    weight = weight.astype(np.float32)
    tensors = {"weight": weight}
    product, margins = np.zeros(weight.shape), []
    for iteration in range(1, 6):
        quantized, margin = rounded(weight - product, group)
        product = truncated(weight.astype(np.float64) - quantized, RANK)
        margins.append(margin)
        if iteration in (1, 5):
            tensors |= {f"quantized.{iteration}": quantized, f"product.{iteration}": product}
    # Products that differ in their last bits must round to the same codes.
    assert min(margins) > 1e-5, margins
    return tensors


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    random = np.random.default_rng(1)
    tensors = {}
    for name, shape in SHAPES.items():
        for key, value in case(random, *shape).items():
            tensors[f"{name}.{key}"] = np.ascontiguousarray(value, dtype=np.float32)
    for key, value in align_then_correct(random).items():
        tensors[f"atc.{key}"] = np.ascontiguousarray(value, dtype=np.float32)
    for key, value in align_then_correct(random, columns=32, group=GROUP, rank=3).items():
        tensors[f"atc_pooled.{key}"] = np.ascontiguousarray(value, dtype=np.float32)
    for key, value in alternated(random).items():
        tensors[f"loftq.{key}"] = np.ascontiguousarray(value, dtype=np.float32)
    save_file(tensors, sys.argv[1])


main()
