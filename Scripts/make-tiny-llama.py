#!/usr/bin/env python3
"""Trains Fixtures/tiny-llama: a Llama of 1,049,728 parameters on the King James Bible.

4 layers, hidden size 128, 4 heads over 2 key-value heads, 1,024 byte-level BPE tokens with Llama-3's split pattern.
The text is in the public domain; on Debian: apt-get install bible-kjv; bible -f 'gen1:1-rev22:21' > kjv.txt
92 % of its lines are trained on, the next 4 % become calibration.txt, the last 4 % evaluation.txt.

Takes about ten minutes on two cores. It stops after 540 seconds of training, so another machine makes another model of
the same kind: the checkpoint under Fixtures/ is kept as it is, and golden/ belongs to it.

Needs torch, transformers, tokenizers.
usage: make-tiny-llama.py kjv.txt OUTPUT-FOLDER
"""
import math
import os
import random
import re
import sys
import time

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>"]
VOCABULARY = 1024
STEPS, BATCH, LENGTH, SECONDS = 1600, 24, 160, 540
PEAK_LEARNING_RATE = 3e-3
WINDOW = 256


def split_text(path):
    """The lines without verse numbers: for training, for calibration, for evaluation."""
    text = re.sub(r"(?m)^\S+:\d+ ", "", open(path, encoding="utf-8").read())
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    ends = [0, int(len(lines) * 0.92), int(len(lines) * 0.96), len(lines)]
    return ["\n".join(lines[a:b]) + "\n" for a, b in zip(ends, ends[1:])]


def train_tokenizer(text):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1])


def train(tokens):
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.05, betas=(0.9, 0.95))
    start = time.time()
    for step in range(STEPS):
        warmup = min(1, (step + 1) / 50)
        cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LEARNING_RATE * warmup * cosine
        starts = torch.randint(0, len(tokens) - LENGTH - 1, (BATCH,))
        x = torch.stack([tokens[i : i + LENGTH] for i in starts])
        loss = model(input_ids=x, labels=x).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(step, loss.item(), time.time() - start, flush=True)
        if time.time() - start > SECONDS:
            print("stop at", step)
            break
    return model


def perplexity(model, tokens):
    total, count = 0.0, 0
    with torch.no_grad():
        for i in range(0, len(tokens) - WINDOW + 1, WINDOW):
            x = tokens[i : i + WINDOW][None]
            total += F.cross_entropy(model(x).logits[0, :-1], x[0, 1:], reduction="sum").item()
            count += WINDOW - 1
    return math.exp(total / count)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, folder = sys.argv[1:]
    torch.manual_seed(7)
    random.seed(7)
    torch.set_num_threads(2)
    os.makedirs(folder, exist_ok=True)
    training, calibration, evaluation = split_text(source)
    for name, text in [("calibration.txt", calibration), ("evaluation.txt", evaluation)]:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    tokenizer = train_tokenizer(training)
    tokenizer.save_pretrained(folder)
    encode = lambda text: torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    model = train(encode(training)).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="1MB")
    print("perplexity of evaluation.txt:", perplexity(model.float().eval(), encode(evaluation)))


if __name__ == "__main__":
    main()
