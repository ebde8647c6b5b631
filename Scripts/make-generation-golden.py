#!/usr/bin/env python3
"""Greedy continuations by Hugging Face transformers, for Fixtures/golden/generation.json.

usage: Scripts/make-generation-golden.py        (needs torch and transformers)
"""

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ["And the LORD said unto", "In the beginning", "Blessed"]
MAX_TOKENS = 48


def main():
    folder = ROOT / "Fixtures/tiny-llama"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=True)["input_ids"]
        with torch.no_grad():
            result = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_TOKENS, do_sample=False,
                pad_token_id=1, output_scores=True, return_dict_in_generate=True)
        # How far the choice is from another one: a difference of rounding must not be able to change it.
        margins = [(s[0].topk(2).values[0] - s[0].topk(2).values[1]).item() for s in result.scores]
        assert min(margins) > 1e-3, f"{prompt}: nearly a tie, {min(margins)}"
        new = result.sequences[0][ids.shape[1]:].tolist()
        cases.append({
            "prompt": prompt, "prompt_tokens": ids[0].tolist(), "tokens": new,
            "text": tokenizer.decode(new, skip_special_tokens=True),
        })
    text = json.dumps({"max_tokens": MAX_TOKENS, "cases": cases}, indent=1)
    (ROOT / "Fixtures/golden/generation.json").write_text(text + "\n")


main()
