#!/usr/bin/env python3
"""Computes Fixtures/families from the configurations in it with Hugging Face transformers and PyTorch.

usage: make-family-goldens.py FOLDER [NAME ...]   (without names, every NAME.json of the folder)

NAME.json has `config`, a configuration as published files spell it, which is written by hand. This script adds the
same configuration as transformers 5 spells it, the shapes of the tensors, and a sequence of tokens. golden.safetensors
gets what transformers computes. Weights follow from names: see `values`, and Tests/TestSupport/FamilyFixture.swift.
All arithmetic is fp32 on bf16 weights. Needs torch, transformers 5, safetensors; takes about a minute.
"""
import json
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import transformers
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

SALTS = ("first", "second")
TOKENS = 24
RANK, SCALING = 2, 2.0
PROBES = 4
ADAPTER_SIZE = 0.2


def uniform(seed, count):
    """Numbers from -1 to 1: the sequence of SplitMix64, begun at the FNV-1a hash of a text, 24 bits of each."""
    state = 0xCBF29CE484222325
    for byte in seed.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def values(salt, name, shape, norms_store_differences):
    """The weights of a tensor: norms near 1, or near 0 if 1 is added to them; matrices that keep the size of inputs."""
    size, offset = np.float32(0.2), np.float32(0)
    if len(shape) >= 2:
        size = np.float32(3) / np.sqrt(np.float32(shape[-1]))
    elif "norm" in name and name.endswith(".weight"):
        offset = np.float32(0 if norms_store_differences else 1)
    elif name.endswith(("layer_scalar", "router.scale", "per_expert_scale")):
        offset = np.float32(1)
    return offset + size * uniform(f"{salt}/{name}", int(np.prod(shape))).reshape(shape)


def is_text(name):
    return not any(part in name for part in ("vision", "multi_modal"))


def is_trained(config):
    """Whether all linears of the layers are modules of their own."""
    return not any(config.get(key) for key in ("num_experts", "num_local_experts"))


def model_class(config):
    return AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM


def load(folder, config):
    """The model of a folder whose config.json is replaced."""
    (folder / "config.json").write_text(json.dumps(config))
    model, info = model_class(config).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    odd = [name for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in info[key]]
    if odd:
        sys.exit(f"{folder}: {odd}")
    return model.eval()


def output(model, tokens):
    """The logits, and the hidden states that the output head reads."""
    seen = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = model(input_ids=tokens).logits
    hook.remove()
    return logits[0].float(), seen[0][0]


class Adapted(nn.Module):
    """A linear with a low-rank adapter."""

    def __init__(self, linear, name):
        super().__init__()
        self.linear = linear
        out, columns = linear.weight.shape
        for part, shape in (("A", (RANK, columns)), ("B", (out, RANK))):
            start = uniform(f"{name}.lora_{part}", shape[0] * shape[1]).reshape(shape) * np.float32(ADAPTER_SIZE)
            setattr(self, part, nn.Parameter(torch.from_numpy(start)))

    def forward(self, x):
        return self.linear(x) + F.linear(F.linear(x, self.A), self.B) * SCALING


def adapt(model):
    """Puts an adapter on every linear of the decoder layers. Returns them by names that begin with `layers.`."""
    found = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and ".layers." in name and is_text(name):
            short = name[name.index(".layers.") + 1 :]
            parent, _, last = name.rpartition(".")
            found[short] = Adapted(module, short)
            setattr(model.get_submodule(parent), last, found[short])
    return found


def gradients(model, tokens, teacher):
    """The loss in its two parts, and for each adapter matrix the norm of its gradient and some projections."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    adapters = adapt(model)
    logits, hidden = output(model, tokens)
    model_loss = F.mse_loss(hidden, teacher)
    gt_loss = F.cross_entropy(logits[:-1], tokens[0, 1:])
    (0.5 * model_loss + 0.5 * gt_loss).backward()
    rows = []
    for name in sorted(adapters):
        for part in ("A", "B"):
            gradient = getattr(adapters[name], part).grad.numpy().astype(np.float64).ravel()
            rows.append([np.sqrt((gradient**2).sum())] + [
                (gradient * uniform(f"{name}.lora_{part}.{probe}", gradient.size)).sum() for probe in range(PROBES)])
    return [model_loss.item(), gt_loss.item()], np.array(rows, dtype=np.float32)


def make(name, published):
    """The rest of NAME.json, and the tensors of golden.safetensors."""
    kind = published.get("text_config", published)["model_type"]
    plus_one = kind.startswith(("gemma", "qwen3_5")) and not kind.startswith("gemma4")
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        (folder / "config.json").write_text(json.dumps(published))
        torch.manual_seed(1)
        model_class(published).from_config(AutoConfig.from_pretrained(folder)).float().save_pretrained(folder)
        file = folder / "model.safetensors"
        saved = load_file(file)
        spelled = json.loads((folder / "config.json").read_text())
        spelled.update({key: published[key] for key in ("bos_token_id", "eos_token_id") if key in published})
        spelled["dtype"] = "bfloat16"
        shapes = {tensor: list(saved[tensor].shape) for tensor in sorted(saved) if is_text(tensor)}
        vocabulary = published.get("text_config", published)["vocab_size"]
        tokens = [int((u + 1) / 2 * vocabulary) for u in uniform(f"{name}.tokens", TOKENS)]
        ids = torch.tensor([tokens])
        golden = {}
        for salt in SALTS:
            for tensor, shape in shapes.items():
                rounded = torch.from_numpy(values(salt, tensor, shape, plus_one)).to(torch.bfloat16)
                saved[tensor] = rounded.to(torch.float32).numpy()
            save_file(saved, file, metadata={"format": "pt"})
            with torch.no_grad():
                logits, hidden = output(load(folder, published), ids)
                other, _ = output(load(folder, spelled), ids)
            if not torch.equal(logits, other):
                sys.exit(f"{name}: the two spellings differ by {(logits - other).abs().max().item()}")
            if salt == SALTS[0]:
                golden["logits"] = logits.numpy()
                if is_trained(published):
                    losses, golden["gradients"] = gradients(load(folder, published), ids, hidden)
                    golden["losses"] = np.array(losses, dtype=np.float32)
            else:
                golden["second"] = logits[-1:].numpy()
    print(f"{name}: logits {golden['logits'].std():.2f}, losses {golden.get('losses')}")
    facts = {
        "config": published, "config_of_transformers_5": spelled, "norms_store_differences": plus_one,
        "tokens": tokens, "tensors": shapes,
    }
    return facts, {f"{name}.{part}": np.ascontiguousarray(tensor) for part, tensor in golden.items()}


def compact(facts):
    """JSON with a line for each member and for each tensor."""
    tensors = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in facts.pop("tensors").items())
    members = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    return "{\n" + ",\n".join(members + ['  "tensors": {\n' + tensors + "\n  }"]) + "\n}\n"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    names = sys.argv[2:] or sorted(path.stem for path in folder.glob("*.json"))
    results = folder / "golden.safetensors"
    golden = load_file(results) if sys.argv[2:] and results.exists() else {}
    for name in names:
        path = folder / f"{name}.json"
        facts, tensors = make(name, json.loads(path.read_text())["config"])
        path.write_text(compact(facts))
        golden.update(tensors)
    save_file(golden, results)


if __name__ == "__main__":
    main()
