#!/usr/bin/env python3
"""Perplexity in PyTorch as `rilq eval` defines it, fp32 on two threads; prints one JSON object.

With RTN=w2g64 in the environment the linears of the layers are first rounded to 2 bits in groups of 64, to nearest.
Needs torch and transformers.
usage: perplexity_torch.py CHECKPOINT TEXT [--window N] [--max-tokens N]
"""
import argparse
import json
import math
import os
import resource
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def rounded(weight, group=64):
    groups = weight.reshape(weight.shape[0], -1, group)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = (high - low) / 3
    codes = ((groups - low) / scale.clamp_min(1e-12)).round().clamp(0, 3)
    return (codes * scale + low).flatten(1)


parser = argparse.ArgumentParser()
parser.add_argument("checkpoint")
parser.add_argument("text")
parser.add_argument("--window", type=int, default=512)
parser.add_argument("--max-tokens", type=int)
arguments = parser.parse_args()
torch.set_num_threads(2)
tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
with open(arguments.text, encoding="utf-8", newline="") as file:
    tokens = tokenizer(file.read(), add_special_tokens=False)["input_ids"]
tokens = torch.tensor(tokens[: arguments.max_tokens])
model = AutoModelForCausalLM.from_pretrained(arguments.checkpoint, dtype=torch.float32).eval()
if os.environ.get("RTN") == "w2g64":
    for name, module in model.named_modules():
        if name.split(".")[-1] in LINEARS:
            module.weight.data = rounded(module.weight.data)

total, windows, start = 0.0, range(0, len(tokens) - arguments.window + 1, arguments.window), time.time()
with torch.no_grad():
    for i in windows:
        x = tokens[i : i + arguments.window][None]
        total += F.cross_entropy(model(x).logits[0, :-1], x[0, 1:], reduction="sum").item()
print(json.dumps({
    "perplexity": math.exp(total / (len(windows) * (arguments.window - 1))),
    "tokens_per_second": len(windows) * arguments.window / (time.time() - start),
    "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
