#!/usr/bin/env python3
"""Makes Fixtures/golden/quantizers.safetensors: small weights, inputs, and what the quantizers make of them.

GPTQ is solved directly: before each column the inverse of the damped moments of the columns that are left is computed by
itself, as in Optimal Brain Quantization (arXiv:2208.11580, equations 1 and 2), and no factor of anything is used. The clip
search is the plain double loop. A refit is the dense least-squares problem of a row; of a sweep of coordinate descent every
step begins with the gradient from scratch; propagation solves its linear system; half-quadratic quantization follows its
formulas. All in double precision; every pair of neighbouring candidates differs by far more than
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


def refit(codes, scales, biases, weights, moments):
    """The tables of every row from its normal equations, damped by 1e-6 of the diagonal around the present tables."""
    groups = COLUMNS // GROUP
    new_scales, new_biases = scales.copy(), biases.copy()
    for row in range(ROWS):
        phi = np.zeros((COLUMNS, 2 * groups))
        for column in range(COLUMNS):
            phi[column, column // GROUP] = codes[row, column]
            phi[column, groups + column // GROUP] = 1
        present = np.concatenate([scales[row], biases[row]])
        normal = phi.T @ moments @ phi
        change = np.linalg.solve(normal + 1e-6 * np.diag(np.diag(normal)),
                                 phi.T @ moments @ (weights[row] - phi @ present))
        new_scales[row], new_biases[row] = scales[row] + change[:groups], biases[row] + change[groups:]
    return new_scales, new_biases


def sweep(codes, scales, biases, weights, moments):
    """Every code in turn, each the nearest to the weight that is best for all others."""
    codes = codes.copy()
    for row in range(ROWS):
        scale, bias = np.repeat(scales[row], GROUP), np.repeat(biases[row], GROUP)
        for column in range(COLUMNS):
            if moments[column, column] == 0:
                continue
            others = codes[row] * scale + bias - weights[row]
            others[column] = 0
            best = weights[row, column] - others @ moments[:, column] / moments[column, column]
            codes[row, column] = nearest(best, scale[column], bias[column])
    return codes


def layer_errors(codes, scales, biases, weights, moments):
    difference = codes * np.repeat(scales, GROUP, axis=1) + np.repeat(biases, GROUP, axis=1) - weights
    return np.einsum("ri,ij,rj->r", difference, moments, difference)


def half_quadratic(w, exponent=0.7, beta=10.0):
    """Scale and bias of one group; None where they hang on less than what single precision rounds."""
    factor = min(TOP / (w.max() - w.min()), 2e4)
    zero = best = -w.min() * factor
    least = np.inf
    for _ in range(20):
        position = w * factor + zero
        inside = (position > 0) & (position < TOP)
        if np.any(np.abs(position - np.floor(position) - 0.5)[inside] < 2e-5):
            return None
        codes = np.clip(np.round(position), 0, TOP)
        rest = w - (codes - zero) / factor
        error = np.abs(rest).sum()
        # With as many positive errors as negative ones, a small step of the zero point leaves their sum as it is.
        if abs(error - least) < 1e-5 * error:
            return None
        if error >= least:
            return 1 / factor, -best / factor
        least, best = error, zero
        with np.errstate(divide="ignore"):
            shrunk = np.sign(rest) * np.maximum(np.abs(rest) - np.abs(rest) ** (exponent - 1) / beta, 0)
        zero = np.mean(codes - (w - shrunk) * factor)
        beta *= 1.01
    return 1 / factor, -best / factor


def half_quadratic_sample(random):
    """A group of large and small weights, and its tables."""
    while True:
        w = np.float32(random.normal(size=GROUP) * np.exp(random.normal()))
        found = half_quadratic(w.astype(float))
        if found is not None:
            return w, *found


def propagated(weights, x, quantized, share):
    """Weights corrected for inputs that are quantized."""
    moments = quantized.T @ quantized / TOKENS
    moments = moments + np.diag(np.where(np.diag(moments) == 0, 1.0, 0.0))
    moments = moments + np.eye(COLUMNS) * DAMPING * np.mean(np.diag(moments))
    cross = (x - quantized).T @ quantized / TOKENS
    return weights + share * np.linalg.solve(moments, (weights @ cross).T).T


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

    # From the clip search's grid: codes alone, tables alone, and both in turn.
    s0, b0 = tensors["search.scales"].astype(np.float32).astype(float), tensors["search.biases"].astype(np.float32).astype(float)
    codes = np.array([[nearest(w[r, c], s0[r, c // GROUP], b0[r, c // GROUP]) for c in range(COLUMNS)] for r in range(ROWS)])
    tensors["search.codes"] = codes
    swept = sweep(sweep(codes, s0, b0, w, moments), s0, b0, w, moments)
    tensors["sweeps.codes"] = swept
    tensors["refit.scales"], tensors["refit.biases"] = refit(codes, s0, b0, w, moments)
    for _ in range(2):
        before = layer_errors(codes, s0, b0, w, moments)
        s0, b0 = refit(codes, s0, b0, w, moments)
        assert np.all(layer_errors(codes, s0, b0, w, moments) < before)
        codes = sweep(codes, s0, b0, w, moments)
    s0, b0 = refit(codes, s0, b0, w, moments)
    tensors["refined.codes"], tensors["refined.scales"], tensors["refined.biases"] = codes, s0, b0

    samples = [half_quadratic_sample(random) for _ in range(24)]
    tensors["hqq.weights"] = np.concatenate([w for w, _, _ in samples])
    tensors["hqq.scales"], tensors["hqq.biases"] = np.array([t[1:] for t in samples]).T
    tensors["propagation.weights"] = propagated(w, x, np.round(x * 4) / 4, 0.75)
    for name, tensor in tensors.items():
        tensors[name] = tensor.astype(np.uint8 if name.endswith("codes") else np.float32)
    save_file(tensors, sys.argv[1])


main()
