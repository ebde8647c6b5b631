#!/usr/bin/env python3
"""The logits of a packed folder in transformers, by the library that owns its format.

    transformers_logits.py FOLDER TOKEN ...

Prints the logits after the tokens, one per line. compressed-tensors folders need compressed-tensors, AutoRound
folders auto-round, and GPTQ folders gptqmodel.
"""
import json
import os
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import load_file, save_file

OPTIONS = {"dtype": torch.float32, "attn_implementation": "eager", "device_map": "cpu"}


def load(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    block = config.pop("quantization_config")
    if block["quant_method"] == "compressed-tensors":
        return load_unpacked(folder, config, block)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **OPTIONS)


def load_unpacked(folder, config, block):
    """The model with modules that compressed-tensors unpacked; through transformers it does not unpack zero points."""
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig

    scheme = QuantizationConfig.model_validate(block).config_groups["group_0"]
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    for name in [name for name in tensors if name.endswith(".weight_packed")]:
        module = name.removesuffix("weight_packed")
        parts = {p: tensors.pop(module + p) for p in
                 ["weight_packed", "weight_scale", "weight_shape", "weight_zero_point"] if module + p in tensors}
        parts["weight_scale"] = parts["weight_scale"].float()
        tensors[module + "weight"] = PackedQuantizationCompressor.decompress(parts, scheme)["weight"].float()
    with tempfile.TemporaryDirectory() as dense:
        with open(os.path.join(dense, "config.json"), "w") as file:
            json.dump(config, file)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(tensors, os.path.join(dense, "model.safetensors"), metadata={"format": "pt"})
        return transformers.AutoModelForCausalLM.from_pretrained(dense, **OPTIONS)


def main(folder, tokens):
    transformers.logging.set_verbosity_error()
    model = load(folder).eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0, -1].float()
    for value in logits.tolist():
        print(f"logit {value!r}")


if __name__ == "__main__":
    main(sys.argv[1], [int(token) for token in sys.argv[2:]])
