#!/usr/bin/env python3
"""Compares 2-bit checkpoints, as llama.cpp and mlx-lm run them, with transformers on the unpacked weights.

usage: compare-packed.py [--gguf-type TYPE] [--to FORMAT ...] RILQ CHECKPOINT PACKED ...

CHECKPOINT is the original folder, PACKED a .rilq file that rilq made of it, and so on in pairs. rilq converts each one
for MLX and to GGUF, with linears of TYPE if it is given. A line per checkpoint has the largest difference of a log-probability over the vocabulary after 16
tokens, or what rilq refuses. --to also compares transformers on gptq, gptq_v2, autoround or compressed-tensors, with
the library that owns the format. Needs mlx-lm, torch, transformers and xllamacpp.
"""
import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

LENGTH = 16

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
gguf = importlib.import_module("compare-gguf")
mlx = importlib.import_module("compare-mlx")


def convert(rilq, packed, out, *more):
    run = subprocess.run([rilq, "convert", packed, out, *more, "--quiet"], capture_output=True, text=True)
    return None if run.returncode == 0 else f"refused ({run.returncode}): {run.stderr.strip().splitlines()[-1][-150:]}"


def packed_logits(folder, tokens):
    """The logits that transformers computes from a packed folder."""
    script = pathlib.Path(__file__).resolve().parents[1] / "Tests" / "Readers" / "transformers_logits.py"
    command = [sys.executable, script, folder, *map(str, tokens)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return np.array([float(line.split()[1]) for line in lines if line.startswith("logit ")])


def compare(rilq, original, packed, gguf_type, formats):
    config = json.loads((original / "config.json").read_text())
    vocabulary = config.get("text_config", config)["vocab_size"]
    tokens = [(5 + 37 * i) % vocabulary for i in range(LENGTH)]
    with tempfile.TemporaryDirectory() as folder:
        folded, file = os.path.join(folder, "mlx"), os.path.join(folder, "out.gguf")
        refused = convert(rilq, packed, folded, "--to", "mlx")
        if refused:
            return f"mlx {refused}"
        _, weights, _, _ = mlx.checkpoint.read(folded)
        weights = mlx.checkpoint.experts_as(mlx.checkpoint.names(original), weights)
        expected = gguf.log_probabilities(mlx.transformers_logits(config, weights, tokens).astype(np.float64))[-1]
        found = gguf.log_probabilities(mlx.mlx_logits(folded, tokens).astype(np.float64))[-1]
        result = f"mlx-lm {np.abs(found - expected).max():.1e}"
        for name in formats:
            packed_folder = os.path.join(folder, name)
            refused = convert(rilq, packed, packed_folder, "--to", name)
            if refused:
                result += f", {name} {refused}"
                continue
            try:
                found = gguf.log_probabilities(packed_logits(packed_folder, tokens)[None])[0]
            except subprocess.CalledProcessError as error:
                result += f", {name}: {error.stderr.strip().splitlines()[-1][-100:]}"
                continue
            result += f", {name} {np.abs(found - expected).max():.1e}"
        refused = convert(rilq, packed, file, *gguf_type)
        if refused:
            return f"{result}, gguf {refused}"
        (length, told), = gguf.run(file, tokens, (LENGTH,))
        if length != LENGTH:
            return f"{result}, llama.cpp tells no probabilities"
        return f"{result}, llama.cpp {max(abs(expected[i] - p) for i, p in told.items() if i < len(expected)):.1e}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gguf-type")
    parser.add_argument("--to", action="append", default=[])
    parser.add_argument("rilq")
    parser.add_argument("paths", nargs="+", metavar="CHECKPOINT PACKED")
    options = parser.parse_args()
    if len(options.paths) % 2:
        parser.error("each checkpoint needs a packed file")
    gguf_type = ["--gguf-type", options.gguf_type] if options.gguf_type else []
    mlx.transformers.logging.set_verbosity_error()
    for original, packed in zip(options.paths[::2], options.paths[1::2]):
        try:
            text = compare(options.rilq, pathlib.Path(original), packed, gguf_type, options.to)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        print(f"{pathlib.Path(original).name:16} {text}", flush=True)


if __name__ == "__main__":
    main()
