#!/usr/bin/env python3
"""Compares mlx-lm with transformers on 4-bit MLX folders that rilq makes of checkpoints.

usage: compare-mlx.py RILQ CHECKPOINT ...

Each checkpoint is rounded to 4 bits, written for MLX and loaded by mlx-lm; transformers computes the same unpacked
weights with the original config.json. A line per checkpoint has the largest difference of a logit, or what rilq
refuses. The exit code is 1 if a model does not load or a difference is too large. Needs mlx-lm, torch, transformers.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import checkpoint
import mlx.core as mx
import mlx_lm.utils
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

TOKENS = 48
# Of the standard deviation of the logits: mlx-lm computes gelu by its approximation, and in other orders.
TOLERANCE = 0.02


def transformers_logits(config, weights, tokens):
    kind = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        save_file(weights, pathlib.Path(folder, "model.safetensors"), metadata={"format": "pt"})
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens])).logits[0].float().numpy()


def load_float32(*arguments, load=mx.load):
    """The arrays of a file, floats in float32: mlx-lm would add 1 to norms, as in Qwen 3.5, in their own dtype."""
    arrays = load(*arguments)
    return {k: v.astype(mx.float32) if mx.issubdtype(v.dtype, mx.floating) else v for k, v in arrays.items()}


def mlx_logits(folder, tokens):
    mx.load = load_float32
    model, _ = mlx_lm.utils.load_model(pathlib.Path(folder))
    return np.array(model(mx.array([tokens]))[0].astype(mx.float32))


def compare(rilq, path):
    """A line about a checkpoint, and whether it is as it should be."""
    config = json.loads((path / "config.json").read_text())
    vocabulary = config.get("text_config", config)["vocab_size"]
    tokens = [(5 + 37 * i) % vocabulary for i in range(TOKENS)]
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "mlx")
        command = [rilq, "quantize", str(path), out, "--to", "mlx", "--bits", "4", "--group-size", "32", "--quiet"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            return f"refused ({run.returncode}): {run.stderr.strip().replace(out, 'OUT')}", run.returncode == 3
        _, weights, packing, _ = checkpoint.read(out)
        weights = checkpoint.experts_as(checkpoint.names(path), weights)
        expected = transformers_logits(config, weights, tokens)
        try:
            found = mlx_logits(out, tokens)
        except Exception as error:
            return f"mlx-lm: {type(error).__name__}: {error}", False
    difference = np.abs(found - expected).max() / expected.std()
    return f"{len(packing)} modules, {difference:.6f} of the logits' deviation", difference < TOLERANCE


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    failed = False
    for path in map(pathlib.Path, sys.argv[2:]):
        text, is_right = compare(sys.argv[1], path)
        print(f"{path.name:16} {'' if is_right else 'WRONG: '}{text}", flush=True)
        failed |= not is_right
    sys.exit(failed)


if __name__ == "__main__":
    main()
