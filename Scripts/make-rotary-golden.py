#!/usr/bin/env python3
"""Rotary frequencies by Hugging Face transformers, for Fixtures/golden/rotary.json.

usage: Scripts/make-rotary-golden.py        (needs torch and transformers)
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

ROOT = Path(__file__).resolve().parent.parent
HEADS = 2


def case(name, parameters, head=64, share=1.0, context=4096, length=None, layer_type=None, **outer):
    """One configuration as in config.json, and the frequencies of a sequence of a length."""
    config = {"hidden_size": HEADS * head, "num_attention_heads": HEADS, "head_dim": head,
              "max_position_embeddings": context, **outer, "rope_parameters": parameters}
    given = json.loads(json.dumps(parameters))
    for object in [given[layer_type]] if layer_type else [given]:
        if share != 1:
            object["partial_rotary_factor"] = share
    extra = {"layer_types": sorted(given)} if layer_type else {}
    c = LlamaConfig(**{**config, "rope_parameters": given, "num_hidden_layers": max(len(extra), 1) * 2}, **extra)
    kind = c.rope_parameters[layer_type]["rope_type"] if layer_type else c.rope_parameters["rope_type"]
    # Inside a model the length is a tensor, so that the base of dynamic is computed in f32.
    size = None if length is None else torch.tensor(length)
    if kind == "default":
        theta = (c.rope_parameters[layer_type] if layer_type else c.rope_parameters)["rope_theta"]
        width = int(head * share)
        frequencies, amplitude = 1 / theta ** (torch.arange(0, width, 2, dtype=torch.float) / width), 1.0
    else:
        frequencies, amplitude = ROPE_INIT_FUNCTIONS[kind](c, seq_len=size, layer_type=layer_type)
    turned = head if kind == "proportional" else int(head * share)
    assert len(frequencies) == turned // 2, name
    return {"name": name, "config": config, "head_size": head, "turned_count": turned, "length": length or 1,
            "layer_type": layer_type, "amplitude": amplitude, "frequencies": frequencies.tolist()}


def cases():
    for head, theta in [(64, 1e4), (128, 5e5), (80, 1e6)]:
        label = f"head {head}, theta {theta:g}"
        yield case(f"default, {label}", {"rope_type": "default", "rope_theta": theta}, head)
        yield case(f"linear, {label}", {"rope_type": "linear", "factor": 3.0, "rope_theta": theta}, head)
        for length in [1, 4096, 4097, 5000, 20000]:
            yield case(f"dynamic, {label}, length {length}",
                       {"rope_type": "dynamic", "factor": 4.0, "rope_theta": theta}, head, length=length)
        yield case(f"llama3, {label}", {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 512, "rope_theta": theta}, head)
        yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "rope_theta": theta}
        yield case(f"yarn, {label}", yarn, head)
        yield case(f"yarn without rounding, {label}", {**yarn, "truncate": False}, head)
        yield case(f"yarn of DeepSeek, {label}", {
            **yarn, "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 0.707, "beta_fast": 32, "beta_slow": 1}, head)
        yield case(f"yarn with betas, {label}", {**yarn, "beta_fast": 24.0, "beta_slow": 2.0}, head)
        yield case(f"yarn on a part, {label}", yarn, head, share=0.5)
        yield case(f"yarn with the growth as its factor, {label}", {**yarn, "factor": None}, head)
        yield case(f"proportional, {label}", {
            "rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": theta}, head)
    yield case("yarn with an amplitude", {
        "rope_type": "yarn", "factor": 4.0, "attention_factor": 1.138629436111989,
        "original_max_position_embeddings": 64, "rope_theta": 5e5})
    yield case("yarn with one logarithm weight", {
        "rope_type": "yarn", "factor": 16.0, "mscale": 2.0, "original_max_position_embeddings": 256,
        "rope_theta": 1e6})
    yield case("yarn of a factor below 1", {
        "rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 4096, "rope_theta": 1e4})
    yield case("yarn of an original context of 4", {
        "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4, "rope_theta": 1e4})
    yield case("proportional with a factor", {
        "rope_type": "proportional", "factor": 8.0, "partial_rotary_factor": 0.3, "rope_theta": 1e6}, 80)
    short = [1 + i / 50 for i in range(24)]
    long = [1 + 3 * i / 4 for i in range(24)]
    longrope = {"rope_type": "longrope", "short_factor": short, "long_factor": long, "rope_theta": 1e4}
    for length in [1, 1024, 1025, 4096]:
        yield case(f"longrope, length {length}", {**longrope, "original_max_position_embeddings": 1024}, 64,
                   share=0.75, length=length)
    yield case("longrope with a factor", {
        **longrope, "factor": 32.0, "original_max_position_embeddings": 1024}, 64, share=0.75)
    yield case("longrope with an amplitude", {
        **longrope, "attention_factor": 1.19, "original_max_position_embeddings": 1024}, 64, share=0.75)
    yield case("longrope without growth", longrope, 64, share=0.75)
    # The key beside the object counts, except for kinds of layers.
    inner = {"factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
    yield case("yarn with an outer context", {"rope_type": "yarn", **inner},
               original_max_position_embeddings=256)
    yield case("llama3 with an outer context", {
        "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **inner},
        original_max_position_embeddings=256)
    nested = {"full_attention": {"rope_type": "yarn", **inner},
              "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e4}}
    yield case("a kind of layer", nested, layer_type="full_attention", original_max_position_embeddings=256)
    yield case("another kind of layer", nested, layer_type="sliding_attention")


def main():
    lines = [json.dumps(case) for case in cases()]
    text = "[\n" + ",\n".join(lines) + "\n]\n"
    (ROOT / "Fixtures/golden/rotary.json").write_text(text)


main()
