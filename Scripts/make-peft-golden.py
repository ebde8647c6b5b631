#!/usr/bin/env python3
"""Makes Fixtures/peft: small bases, adapters as PEFT writes them, and what PEFT merges them to.

A case is a folder with adapter_config.json and adapter_model.safetensors, as `save_pretrained` writes them, and
merged-f32.safetensors and merged-bf16.safetensors: the tensors of the base that `merge_and_unload` changes, the base
loaded in that dtype. Made with peft 0.21.2, transformers 5.23 and PyTorch 2.15 on a CPU.

Takes some seconds. Needs torch, transformers, peft, safetensors.
usage: make-peft-golden.py OUTPUT-FOLDER
"""
import json
import os
import shutil
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
MLP = ["gate_proj", "up_proj", "down_proj"]


def cases():
    """Name, base, and what LoraConfig gets."""
    plain = dict(r=4, lora_alpha=6, init_lora_weights=False)
    yield "plain", "llama", dict(plain, target_modules=["q_proj", "v_proj", *MLP])
    yield "rslora", "llama", dict(plain, use_rslora=True, target_modules=["k_proj", "down_proj"])
    yield "patterns", "llama", dict(
        plain, use_rslora=True, target_modules=["q_proj", "k_proj", *MLP],
        # The keys are written sorted, so that is the order in which they are tried when they are read.
        rank_pattern={"k_proj": 3, r"layers\.0\.mlp\.(up|gate)_proj": 2, "q_proj|up_proj": 5},
        alpha_pattern={"0.self_attn.k_proj": 1.5, "^model.layers.1.mlp.up_proj": 9, "k_proj": 2})
    yield "layers", "llama", dict(
        plain, target_modules=["q_proj", "up_proj"], layers_to_transform=[1], layers_pattern="layers")
    yield "regex", "llama", dict(
        plain, target_modules=r".*\.\d\.(self_attn|mlp)\.\w+_proj", exclude_modules=["down_proj", "0.mlp.up_proj"])
    yield "all-linear", "llama", dict(plain, target_modules="all-linear")
    yield "dora", "llama", dict(plain, use_dora=True, target_modules=["o_proj", "gate_proj"])
    yield "modules-to-save", "llama", dict(plain, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"])
    yield "embedding", "llama", dict(plain, target_modules=["embed_tokens", "q_proj"])
    yield "embedding-dora", "llama", dict(plain, use_dora=True, target_modules=r"model\.(embed_tokens|.*o_proj)")
    yield "bias-all", "llama", dict(plain, bias="all", target_modules=["q_proj", "down_proj"])
    yield "bias-lora-only", "llama", dict(plain, bias="lora_only", target_modules=["q_proj", "down_proj"])
    yield "lora-bias", "llama", dict(plain, lora_bias=True, target_modules=["q_proj", "down_proj"])
    yield "fan-in-fan-out", "gpt2", dict(plain, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"])
    yield "fan-in-fan-out-dora", "gpt2", dict(
        plain, use_dora=True, fan_in_fan_out=True, target_modules=["c_attn", "attn.c_proj"])


def bases():
    torch.manual_seed(1)
    llama = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, attention_bias=True, mlp_bias=True,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)
    gpt2 = GPT2Config(
        vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=16, n_inner=24, bos_token_id=0, eos_token_id=1)
    yield "llama", LlamaForCausalLM(llama)
    yield "gpt2", GPT2LMHeadModel(gpt2)


def randomize(parameters, size):
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter) * size)


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def make_adapter(base, config, folder):
    """Writes an adapter in which everything that may be trained has moved."""
    model = get_peft_model(load(base, torch.float32), LoraConfig(task_type="CAUSAL_LM", **config))
    randomize((p for p in model.parameters() if p.requires_grad), 0.1)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as file:
        document = json.load(file)
    document["base_model_name_or_path"] = None
    if isinstance(document["target_modules"], list):
        document["target_modules"].sort()
    with open(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def merge(base, folder, name, dtype):
    """Writes what the adapter changes."""
    with tempfile.TemporaryDirectory() as work:
        load(base, dtype).save_pretrained(work + "/before")
        merged = PeftModel.from_pretrained(load(base, dtype), folder).merge_and_unload()
        merged.save_pretrained(work + "/after")
        before = load_file(work + "/before/model.safetensors")
        after = load_file(work + "/after/model.safetensors")
    assert before.keys() == after.keys()
    changed = {k: v for k, v in after.items() if not torch.equal(v, before[k])}
    save_file(changed, os.path.join(folder, f"merged-{name}.safetensors"))
    return len(changed)


def main(output):
    for name, model in bases():
        randomize(model.parameters(), 0.1)
        folder = os.path.join(output, "base-" + name)
        model.save_pretrained(folder)
        generation = os.path.join(folder, "generation_config.json")
        if os.path.exists(generation):
            os.remove(generation)
    for i, (name, base, config) in enumerate(cases()):
        torch.manual_seed(100 + i)
        folder = os.path.join(output, name)
        shutil.rmtree(folder, ignore_errors=True)
        base = os.path.join(output, "base-" + base)
        make_adapter(base, config, folder)
        counts = [merge(base, folder, *dtype) for dtype in DTYPES.items()]
        print(f"{name}: {counts} tensors changed")
    for folder, _, names in os.walk(output):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
