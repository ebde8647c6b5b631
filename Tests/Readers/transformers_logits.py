#!/usr/bin/env python3
"""The logits of a packed folder in transformers, by the library that owns its format.

    transformers_logits.py FOLDER TOKEN ...

Prints the logits after the tokens, one per line. GPTQ and AutoRound folders need auto-round or gptqmodel,
compressed-tensors folders compressed-tensors. Products are in single precision.
"""
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers


def load(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    block = config["quantization_config"]
    options = {"dtype": torch.float32, "attn_implementation": "eager", "device_map": "cpu"}
    if block["quant_method"] == "gptq" and not has("gptqmodel"):
        # AutoRound reads GPTQ's tensors, too.
        options["quantization_config"] = transformers.AutoRoundConfig(backend="auto_round:torch")
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def has(module):
    try:
        __import__(module)
        return True
    except ImportError:
        return False


def main(folder, tokens):
    transformers.logging.set_verbosity_error()
    model = load(folder)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0, -1].float()
    for value in logits.tolist():
        print(repr(value))


if __name__ == "__main__":
    main(sys.argv[1], [int(token) for token in sys.argv[2:]])
