#!/usr/bin/env python3
"""Perplexity of a GGUF file in llama.cpp, by the definition of `rilq eval`.

usage: perplexity-llama-cpp.py LIBRARY FILE.gguf TEXT [WINDOW [MAX-TOKENS]]

LIBRARY is `_llama_cpp_cpu.*.so` of PyPI's llama-cpp-cffi 0.4.42. The whole text is tokenized without special tokens;
non-overlapping windows, the incomplete last one dropped, are run by themselves and score their tokens from the second on. Keys
and values stay in f32, so that only the inputs of products are rounded. Prints one JSON object with the keys of `rilq eval
--json`, and a SHA-256 of the tokens as int32. Needs cffi and numpy.
"""

import hashlib
import importlib.util
import json
import math
import os
import sys

import numpy as np

F32 = 0


def load(path):
    # Some symbols of the extension are in no library; nothing here calls them.
    sys.setdlopenflags(os.RTLD_LAZY)
    spec = importlib.util.spec_from_file_location(os.path.basename(path).split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lib, module.ffi


def main(library, path, text, window=512, limit=None):
    lib, ffi = load(library)

    @ffi.callback("void(enum ggml_log_level, char *, void *)")
    def say_nothing(_level, _words, _data):
        pass

    lib.llama_log_set(say_nothing, ffi.NULL)
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    if model == ffi.NULL:
        sys.exit(f"llama.cpp does not load {path}")
    vocabulary = lib.llama_model_get_vocab(model)
    width = lib.llama_vocab_n_tokens(vocabulary)
    words = open(text, "rb").read()
    found = ffi.new("int32_t[]", len(words) + 1)
    count = lib.llama_tokenize(vocabulary, words, len(words), found, len(words) + 1, False, False)
    tokens = np.frombuffer(ffi.buffer(found, 4 * count), "<i4")
    digest = hashlib.sha256(tokens.tobytes()).hexdigest()
    tokens = tokens[:limit]
    options = lib.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = window
    options.n_threads = options.n_threads_batch = os.cpu_count()
    options.type_k = options.type_v = F32
    options.flash_attn = False
    batch = lib.llama_batch_init(window, 0, 1)
    total, scored = 0.0, 0
    for start in range(0, len(tokens) - window + 1, window):
        part = tokens[start : start + window]
        for position, token in enumerate(part):
            batch.token[position], batch.pos[position], batch.logits[position] = int(token), position, 1
            batch.n_seq_id[position], batch.seq_id[position][0] = 1, 0
        batch.n_tokens = window
        context = lib.llama_init_from_model(model, options)
        if context == ffi.NULL or lib.llama_decode(context, batch) != 0:
            sys.exit(f"llama.cpp does not run {path}")
        values = np.frombuffer(ffi.buffer(lib.llama_get_logits(context), 4 * window * width), np.float32)
        logits = values.reshape(window, width)[: window - 1].astype(np.float64)
        lib.llama_free(context)
        top = logits.max(axis=1)
        norm = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        total += float((norm - logits[np.arange(window - 1), part[1:]]).sum())
        scored += window - 1
    result = {"perplexity": math.exp(total / scored), "nll_per_token": total / scored, "tokens_scored": scored}
    print(json.dumps(result | {"window": window, "tokens": count, "tokens_sha256": digest}))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
