#!/usr/bin/env python3
"""Evaluates a GGUF file with transformers, for `rilq eval` on the same file.

usage: gguf_reference.py FILE.gguf TEXT [--max-tokens 4096] [--window 512] [--rilq PATH]

rilq's tokens are used, without special ones. transformers makes F32 weights of the blocks. Prints the perplexity of
non-overlapping windows as JSON; with --rilq also that of rilq.
"""
import argparse
import json
import math
import os
import subprocess
import tempfile

import torch
import transformers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("text")
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--rilq", default="rilq")
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as part:
        with open(options.text, encoding="utf-8") as text:
            part.write(text.read(24 * options.max_tokens))
    tokenize = [options.rilq, "tokenize", options.file, "--text", part.name, "--json"]
    ids = json.loads(subprocess.run(tokenize, check=True, capture_output=True, text=True).stdout)["ids"]
    os.unlink(part.name)
    ids = ids[: options.max_tokens]
    folder, name = os.path.split(os.path.abspath(options.file))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(ids) - options.window + 1, options.window):
            window = torch.tensor([ids[start : start + options.window]])
            logits = model(window).logits[0, :-1].double()
            losses = torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="sum")
            total, count = total + losses.item(), count + options.window - 1
    print(json.dumps({"transformers": math.exp(total / count), "tokens_scored": count}))


if __name__ == "__main__":
    main()
