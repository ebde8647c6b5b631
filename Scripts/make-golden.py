#!/usr/bin/env python3
"""Computes Fixtures/golden from Fixtures/tiny-llama with Hugging Face transformers and PyTorch.

All arithmetic is fp32 on the bf16 weights. Fixtures/README.md says what each file holds. The figures depend in their
last bits on the versions of PyTorch and its libraries: those in Fixtures/ are of transformers 5.23 and PyTorch 2.15.

Takes about a minute on two cores. Needs torch, transformers, safetensors.
usage: make-golden.py TINY-LLAMA SMOLLM2 OUTPUT-FOLDER   (of SMOLLM2, a checkpoint folder, only the tokenizer is used)
"""
import json
import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUP = 64
RANK, ALPHA = 8, 16.0
WINDOW = 256  # of perplexity
LENGTH = 128  # of a calibration window
WINDOWS, VALIDATION_START = 64, 48
UPDATES, BATCH = 20, 4

CASES = [
    "Hello, world!", "  leading and   inner   spaces ", "it's we'll I'M DON'T", "1234567 3.14159 2024-05-06",
    "na\u00efve caf\u00e9 \u2014 \u201cquotes\u201d \u2026 \u00bd", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "emoji \U0001f642\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 end",
    "tabs\tand\nnewlines\r\n\r\n\n x", "a\u0301 combining", "<|begin_of_text|>special<|end_of_text|>",
    "<|im_start|>user\nhi<|im_end|>\n", "", "\u200bzero width", "ALLCAPS mixedCase snake_case kebab-case",
    "https://example.org/a?b=c&d=%20",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea", "def f(x):\n    return x**2\n",
    "\ufffd\x00 control",
]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def encode(text, tokenizer):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def linears(model):
    return [(name, module) for name, module in model.named_modules() if name.split(".")[-1] in LINEARS]


def perplexity(model, tokens):
    """Perplexity over windows that do not overlap, and how many tokens it scores."""
    total, count = 0.0, 0
    with torch.no_grad():
        for i in range(0, len(tokens) - WINDOW + 1, WINDOW):
            x = tokens[i : i + WINDOW][None]
            logits = model(x).logits.double()
            total += F.cross_entropy(logits[0, :-1], x[0, 1:], reduction="sum").item()
            count += WINDOW - 1
    return math.exp(total / count), count


def forward_tensors(model, tokens):
    x = tokens[:64][None]
    with torch.no_grad():
        result = model(x, output_hidden_states=True)
        hidden = model.model(x)[0]
    layers = {f"hidden_after_layer_{i}": result.hidden_states[i + 1][0].contiguous() for i in range(3)}
    return {
        "input_ids": x[0].to(torch.int32).clone(), "logits": result.logits[0].contiguous(),
        "hidden_after_final_norm": hidden[0].contiguous(), **layers,
    }


class Rounded:
    """A weight rounded to nearest: codes [out, groups, GROUP], scales and biases [out, groups]."""

    def __init__(self, weight):
        out, columns = weight.shape
        groups = weight.reshape(out, columns // GROUP, GROUP)
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        scale = (high - low) / 3
        self.codes = torch.clamp(torch.round((groups - low) / scale.clamp_min(1e-12)), 0, 3)
        self.scales, self.biases = scale[..., 0].contiguous(), low[..., 0].contiguous()

    def weight(self, scales=None, biases=None):
        scales = self.scales if scales is None else scales
        biases = self.biases if biases is None else biases
        return (self.codes * scales[..., None] + biases[..., None]).flatten(1)

    def packed(self):
        """MLX's words: code j of a row in bits 2j and up, lowest bits first."""
        codes = self.codes.flatten(1).to(torch.int64).unflatten(1, (-1, 16))
        words = torch.zeros(codes.shape[:2], dtype=torch.int64)
        for j in range(16):
            words |= codes[:, :, j] << (2 * j)
        return words.to(torch.uint32)


class Adapted(nn.Module):
    """A rounded linear with a low-rank adapter; A and B from a seed that is the sum of the name's characters."""

    def __init__(self, name, rounded, kind):
        super().__init__()
        self.rounded, self.kind = rounded, kind
        out, groups, _ = rounded.codes.shape
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        columns = groups * GROUP if kind == "dense" else groups
        self.A = nn.Parameter(torch.randn(RANK, columns, generator=generator) * 0.05)
        self.B = nn.Parameter(torch.randn(out, RANK, generator=generator) * 0.05)
        self.scales = nn.Parameter(rounded.scales.clone())
        self.biases = nn.Parameter(rounded.biases.clone())

    def forward(self, x):
        h = x if self.kind == "dense" else x.unflatten(-1, (-1, GROUP)).mean(-1)
        y = F.linear(x, self.rounded.weight(self.scales, self.biases))
        return y + F.linear(F.linear(h, self.A), self.B) * (ALPHA / RANK)


def adapted_model(folder, rounded, kind):
    model = load(folder)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    modules = {name: Adapted(name, rounded[name], kind) for name, _ in linears(model)}
    for name, module in modules.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module)
    return model, modules


class Loss:
    """0.5 * mse(hidden after the final norm, the teacher's) + 0.5 * cross entropy, in its two parts."""

    def __init__(self, folder, tokens):
        teacher = load(folder)
        self.windows = [tokens[i : i + LENGTH][None] for i in range(0, WINDOWS * LENGTH, LENGTH)]
        with torch.no_grad():
            self.hidden = [teacher.model(x)[0] for x in self.windows]

    def __call__(self, model, i):
        x, hidden = self.windows[i], model.model(self.windows[i])[0]
        logits = model.lm_head(hidden)
        return F.mse_loss(hidden, self.hidden[i]), F.cross_entropy(logits[0, :-1], x[0, 1:])


def gradients(folder, rounded, kind, loss):
    """The adapters of every linear and the gradients of one window's loss; and the loss in its two parts."""
    model, modules = adapted_model(folder, rounded, kind)
    model_loss, gt_loss = loss(model, 0)
    (0.5 * model_loss + 0.5 * gt_loss).backward()
    tensors = {"input_ids": loss.windows[0][0].to(torch.int32).clone()}
    for name, module in modules.items():
        tensors[name + ".lora_A"], tensors[name + ".lora_B"] = module.A.detach().clone(), module.B.detach().clone()
        tensors[name + ".lora_A.grad"], tensors[name + ".lora_B.grad"] = module.A.grad, module.B.grad
        tensors[name + ".scales.grad"], tensors[name + ".biases.grad"] = module.scales.grad, module.biases.grad
    return {k: v.contiguous() for k, v in tensors.items()}, model_loss.item(), gt_loss.item()


def training_trace(folder, rounded, loss):
    """Trains dense adapters, B from zero; the losses of every update, then those of validation, and the model."""
    model, modules = adapted_model(folder, rounded, "dense")
    for module in modules.values():
        module.B.data.zero_()
        module.scales.requires_grad_(False)
        module.biases.requires_grad_(False)
    trained = [parameter for module in modules.values() for parameter in (module.A, module.B)]
    optimizer = torch.optim.Adam(trained, lr=1e-3)
    trace = []
    for update in range(UPDATES):
        sums = [0.0, 0.0]
        for j in range(BATCH):
            parts = loss(model, (update * BATCH + j) % VALIDATION_START)
            ((0.5 * parts[0] + 0.5 * parts[1]) / BATCH).backward()
            sums = [total + part.item() / BATCH for total, part in zip(sums, parts)]
        optimizer.step()
        optimizer.zero_grad()
        trace.append(sums)
    with torch.no_grad():
        held = [loss(model, i) for i in range(VALIDATION_START, WINDOWS)]
    return trace, [sum(parts[k].item() for parts in held) / len(held) for k in (0, 1)], model


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, smollm2, output = sys.argv[1:]
    torch.manual_seed(11)
    torch.set_num_threads(2)
    os.makedirs(output, exist_ok=True)
    path = lambda name: os.path.join(output, name)

    tokenizer, model = AutoTokenizer.from_pretrained(folder), load(folder)
    evaluation_text = read(os.path.join(folder, "evaluation.txt"))
    evaluation = torch.tensor(encode(evaluation_text, tokenizer))
    calibration = torch.tensor(encode(read(os.path.join(folder, "calibration.txt")), tokenizer))

    value, scored = perplexity(model, evaluation)
    golden = {
        "tokens": {"evaluation": len(evaluation), "calibration": len(calibration)},
        "perplexity": {"window": WINDOW, "tokens_scored": scored, "checkpoint": value},
    }
    save_file(forward_tensors(model, evaluation), path("forward.safetensors"))

    rounded = {name: Rounded(module.weight.data) for name, module in linears(model)}
    tensors = {}
    for name, weight in rounded.items():
        tensors[name + ".weight"] = weight.packed()
        tensors[name + ".scales"], tensors[name + ".biases"] = weight.scales, weight.biases
    note = "scale=(max-min)/3, bias=min, code=clamp(round((w-bias)/scale),0,3), float32"
    save_file(tensors, path("rtn-w2g64.safetensors"), metadata={"format": "mlx", "note": note})
    for name, module in linears(model):
        module.weight.data = rounded[name].weight()
    golden["perplexity"]["rtn_w2g64"] = perplexity(model, evaluation)[0]

    loss = Loss(folder, calibration)
    for kind in ("dense", "pooled"):
        tensors, model_loss, gt_loss = gradients(folder, rounded, kind, loss)
        metadata = {
            "model_loss": repr(model_loss), "gt_loss": repr(gt_loss), "rank": "8", "alpha": "16", "pooling": "mean"}
        save_file(tensors, path(f"gradients-{kind}.safetensors"), metadata=metadata)
        golden[f"gradients_{kind}"] = {"model_loss": model_loss, "gt_loss": gt_loss}

    trace, validation, trained = training_trace(folder, rounded, loss)
    golden["training_trace"] = {
        "what": "dense LoRA r 8 alpha 16 on rtn-w2g64, A as in gradients-dense, B zero, Adam lr 1e-3 betas .9 .999 "
        "eps 1e-8, 4 windows of 128 tokens an update, calibration windows 0..47 in order, "
        "loss 0.5*mse(hidden after final norm)+0.5*ce",
        "model_loss_and_gt_loss_per_update": trace,
        "validation_windows_48_to_63_after": validation,
    }
    golden["perplexity"]["rtn_w2g64_after_20_updates"] = perplexity(trained, evaluation)[0]

    smollm2_tokenizer = AutoTokenizer.from_pretrained(smollm2)
    tokens = {
        "tiny-llama": [[text, encode(text, tokenizer)] for text in CASES],
        "smollm2-135m": [[text, encode(text, smollm2_tokenizer)] for text in CASES],
        "smollm2-135m-evaluation-first-200": encode(evaluation_text[:2000], smollm2_tokenizer)[:200],
        "tiny-llama-evaluation-first-200": evaluation[:200].tolist(),
    }
    with open(path("tokens.json"), "w", encoding="utf-8") as file:
        json.dump(tokens, file, ensure_ascii=True, indent=0)
    with open(path("golden.json"), "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1)


if __name__ == "__main__":
    main()
