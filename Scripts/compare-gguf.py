#!/usr/bin/env python3
"""Compares checkpoints of model families, written to GGUF by rilq, with llama.cpp and with transformers' logits.

usage: compare-gguf.py RILQ FAMILIES NAME...

FAMILIES has `checkpoints/NAME`, `golden/NAME.safetensors` (`tokens`, `logits`), and a text of another checkpoint's tokenizer
does not matter: llama.cpp is given token ids. For each checkpoint the weights are widened to F32, so that both programs compute
with the same numbers; rilq writes the GGUF file, llama.cpp runs it, and its log-probabilities after some numbers of tokens are
compared with those of the stored logits. rilq then evaluates the folder and the file. Prints a line per checkpoint: the exit
code of `convert`, the largest difference in each place, the two losses, and what rilq said.
Needs numpy, safetensors, torch and xllamacpp.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.torch
import xllamacpp

LENGTHS = (8, 16, 48)
# A tokenizer that every version of rilq writes; the token ids do not depend on it.
PLAIN_TOKENIZER = "llama3"


def widen(source, target, tokenizer):
    os.makedirs(target)
    for name in os.listdir(source):
        if not name.endswith(".safetensors"):
            shutil.copy(os.path.join(source, name), target)
    if tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(os.path.join(tokenizer, name), target)
    for name in os.listdir(source):
        if name.endswith(".safetensors"):
            tensors = safetensors.torch.load_file(os.path.join(source, name))
            widened = {key: value.float().contiguous() for key, value in tensors.items()}
            safetensors.torch.save_file(widened, os.path.join(target, name), {"format": "pt"})


def log_probabilities(logits):
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def run(path, tokens, lengths):
    """The log-probabilities of llama.cpp after each number of tokens."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 64
    params.n_batch = params.n_ubatch = 64
    params.n_parallel = 1
    params.warmup = False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = 1
    params.verbosity = -1
    server = xllamacpp.Server(params)
    found = []
    for length in lengths:
        answer = server.handle_completions(
            {"prompt": [int(t) for t in tokens[:length]], "n_predict": 1, "n_probs": 1 << 20, "temperature": -1.0,
             "cache_prompt": False, "return_tokens": True})
        first = answer["choices"][0]["logprobs"]["content"][0] if "choices" in answer else answer["completion_probabilities"][0]
        found.append({entry["id"]: entry["logprob"] for entry in first["top_logprobs"]})
    return found


def loss(rilq, checkpoint, text):
    done = subprocess.run(
        [rilq, "eval", checkpoint, "--text", text, "--window", "128", "--max-tokens", "1024", "--json"],
        capture_output=True, text=True)
    return json.loads(done.stdout)["nll_per_token"] if done.returncode == 0 else done.stderr.strip()


def compare(rilq, families, name):
    with tempfile.TemporaryDirectory() as folder:
        source, output = os.path.join(folder, name), os.path.join(folder, "out.gguf")
        widen(os.path.join(families, "checkpoints", name), source, None)
        arguments = [rilq, "convert", source, output]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if "tokenizer" in done.stderr and done.returncode:
            shutil.rmtree(source)
            widen(os.path.join(families, "checkpoints", name), source,
                  os.path.join(families, "checkpoints", PLAIN_TOKENIZER))
            done = subprocess.run(arguments, capture_output=True, text=True)
        said = " ".join(line for line in done.stderr.splitlines() if "notice" in line or "error" in line.lower())
        if done.returncode:
            return f"{name} | {done.returncode} | | | {done.stderr.strip()[-300:].replace(source, name)}"
        golden = safetensors.torch.load_file(os.path.join(families, "golden", name + ".safetensors"))
        expected = log_probabilities(golden["logits"].numpy().astype(np.float64))
        worst = []
        for length, found in zip(LENGTHS, run(output, golden["tokens"].tolist(), LENGTHS)):
            row = expected[length - 1]
            worst.append(max((abs(row[i] - p) for i, p in found.items() if i < len(row)), default=math.nan))
        if os.environ.get("KEEP"):
            shutil.copy(output, os.path.join(os.environ["KEEP"], name + ".gguf"))
        text = os.environ["TEXT"]
        losses = " | ".join(str(loss(rilq, checkpoint, text)) for checkpoint in (source, output))
        return f"{name} | 0 | {', '.join(f'{w:.1e}' for w in worst)} | {losses} | {said}"


def main(rilq, families, *names):
    print("checkpoint | exit | largest difference after 8, 16, 48 tokens | loss of folder | of file | notices")
    for name in names:
        try:
            print(compare(rilq, families, name), flush=True)
        except Exception as error:
            print(f"{name} | failed: {type(error).__name__} {error}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
