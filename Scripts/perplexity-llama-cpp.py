#!/usr/bin/env python3
"""Perplexity of a GGUF file in llama.cpp, by the definition of `rilq eval`.

usage: perplexity-llama-cpp.py FILE.gguf TEXT [WINDOW] [MAX-TOKENS]

The whole text is tokenized without special tokens; non-overlapping windows, the incomplete last one dropped, are run by
themselves and score their tokens from the second on. Prints one JSON object with the keys of `rilq eval --json`, and a SHA-256 of
the tokens as int32. Needs llama-cpp-python and numpy.
"""

import hashlib
import json
import math
import sys

import llama_cpp
import numpy as np


def main(path, text, window=512, limit=None):
    model = llama_cpp.Llama(path, n_ctx=window, n_batch=window, n_ubatch=window, logits_all=True, verbose=False)
    tokens = model.tokenize(open(text, "rb").read(), add_bos=False, special=False)
    digest = hashlib.sha256(np.array(tokens, "<i4").tobytes()).hexdigest()
    count = len(tokens)
    tokens = tokens[:limit]
    total, scored = 0.0, 0
    for start in range(0, len(tokens) - window + 1, window):
        part = tokens[start : start + window]
        model.reset()
        model.eval(part)
        logits = np.array(model.scores[: window - 1], dtype=np.float64)
        top = logits.max(axis=1)
        norm = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        total += float((norm - logits[np.arange(window - 1), part[1:]]).sum())
        scored += window - 1
    result = {"perplexity": math.exp(total / scored), "nll_per_token": total / scored, "tokens_scored": scored}
    print(json.dumps(result | {"window": window, "tokens": count, "tokens_sha256": digest}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
