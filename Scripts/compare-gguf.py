#!/usr/bin/env python3
"""Compares checkpoints of model families, written to GGUF by rilq, with llama.cpp and with transformers' logits.

usage: compare-gguf.py RILQ FAMILIES NAME...

FAMILIES has `checkpoints/NAME` and `golden/NAME.safetensors` (`tokens`, `logits`). llama.cpp is given token ids, so a tokenizer
that rilq does not write to GGUF is replaced with another one. The variable TEXT names a text for the losses. For each checkpoint the weights are widened to F32, so that both programs compute
with the same numbers; rilq writes the GGUF file, llama.cpp runs it, and its log-probabilities after some numbers of tokens are
compared with those of the stored logits. rilq then evaluates the folder and the file. The same checkpoint is also quantized to
2 bits: rilq evaluates the `.rilq` file and the GGUF file with packed weights, and llama.cpp runs the latter, whose
log-probabilities after about as many tokens are compared with those of the same weights in F32; it rounds what it multiplies packed weights by. Prints a
line per checkpoint: the exit code of `convert`, the largest difference in each place, the two losses, the two losses of 2 bits
and the difference in the last place, and what rilq said.
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
# What a refusal of a tokenizer names.
TOKENIZER_WORDS = ("tokenizer", "added_tokens", "'normalizer'", "'model'")


def widen(source, target, tokenizer):
    os.makedirs(target)
    for name in os.listdir(source):
        if not name.endswith(".safetensors"):
            shutil.copy(os.path.join(source, name), target)
    if tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(os.path.join(tokenizer, name), target)
        # llama.cpp looks for certain tokens in models with certain names.
        path = os.path.join(target, "config.json")
        config = json.load(open(path))
        json.dump(config | {"_name_or_path": "plain"}, open(path, "w"))
    for name in os.listdir(source):
        if name.endswith(".safetensors"):
            tensors = safetensors.torch.load_file(os.path.join(source, name))
            widened = {key: value.float().contiguous() for key, value in tensors.items()}
            safetensors.torch.save_file(widened, os.path.join(target, name), {"format": "pt"})


def log_probabilities(logits):
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def run(path, tokens, lengths):
    """The log-probabilities of llama.cpp after about each number of tokens, with the number."""
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
        # llama.cpp tells no probabilities if the next token is a part of a character; a shorter prompt has another one.
        for shorter in range(length, length - 6, -1):
            answer = server.handle_completions(
                {"prompt": [int(t) for t in tokens[:shorter]], "n_predict": 1, "n_probs": 1 << 20, "temperature": -1.0,
                 "cache_prompt": False, "ignore_eos": True})
            told = answer["choices"][0]["logprobs"]
            if told:
                entries = told["content"][0]["top_logprobs"]
                found.append((shorter, {entry["id"]: entry["logprob"] for entry in entries}))
                break
    return found


def loss(rilq, checkpoint, text):
    done = subprocess.run(
        [rilq, "eval", checkpoint, "--text", text, "--window", "128", "--max-tokens", "1024", "--json"],
        capture_output=True, text=True)
    return json.loads(done.stdout)["nll_per_token"] if done.returncode == 0 else done.stderr.strip()


def packed(rilq, folder, source, tokens):
    """The losses of the checkpoint in 2 bits from both formats, and the difference of llama.cpp to the same in F32."""
    paths = {name: os.path.join(folder, "packed" + name) for name in (".rilq", ".gguf", "-f32.gguf")}
    commands = [
        ["quantize", source, paths[".rilq"], "--group-size", "32", "--tables", "f16"],
        ["convert", paths[".rilq"], paths[".gguf"]],
        ["convert", paths[".rilq"], paths["-f32.gguf"], "--gguf-type", "f32"],
    ]
    for command in commands:
        done = subprocess.run([rilq, *command], capture_output=True, text=True)
        if done.returncode:
            return f"{done.returncode} {done.stderr.strip()[-200:]}"
    losses = [loss(rilq, paths[kind], os.environ["TEXT"]) for kind in (".rilq", ".gguf")]
    difference = math.nan
    for longest in LENGTHS[::-1]:
        (length, own), (other, exact) = (run(paths[kind], tokens, (longest,))[0] for kind in (".gguf", "-f32.gguf"))
        # The next tokens can differ, and with them the lengths that are told.
        if length == other:
            difference = max((abs(own[i] - exact[i]) for i in own if i in exact), default=math.nan)
            break
    return f"{losses[0]} | {losses[1]} | {difference:.1e}"


def compare(rilq, families, name):
    with tempfile.TemporaryDirectory() as folder:
        source, output = os.path.join(folder, name), os.path.join(folder, "out.gguf")
        widen(os.path.join(families, "checkpoints", name), source, None)
        arguments = [rilq, "convert", source, output]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode and any(word in done.stderr for word in TOKENIZER_WORDS):
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
        for length, found in run(output, golden["tokens"].tolist(), LENGTHS):
            row = expected[length - 1]
            worst.append(max((abs(row[i] - p) for i, p in found.items() if i < len(row)), default=math.nan))
        if os.environ.get("KEEP"):
            shutil.copy(output, os.path.join(os.environ["KEEP"], name + ".gguf"))
        text = os.environ["TEXT"]
        losses = " | ".join(str(loss(rilq, checkpoint, text)) for checkpoint in (source, output))
        quantized = packed(rilq, folder, source, golden["tokens"].tolist())
        return f"{name} | 0 | {', '.join(f'{w:.1e}' for w in worst)} | {losses} | {quantized} | {said}"


def main(rilq, families, *names):
    print("checkpoint | exit | largest difference after about 8, 16, 48 tokens | loss of folder | of file | in 2 bits | of file "
          "| difference | notices")
    for name in names:
        try:
            print(compare(rilq, families, name), flush=True)
        except Exception as error:
            print(f"{name} | failed: {type(error).__name__} {error}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
