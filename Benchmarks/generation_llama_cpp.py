#!/usr/bin/env python3
"""Tokens a second with which llama.cpp continues a prompt greedily, for `generation.sh`; the end of the text does not end it.

usage: generation_llama_cpp.py FILE.gguf PROMPT TOKENS

Prints one JSON object: tokens_per_second, the prompt's time left out as `rilq generate` does, and peak_memory_bytes. Two threads.
Needs llama-cpp-python and numpy.
"""
import json
import resource
import sys
import time

import llama_cpp
import numpy as np


def main(path, prompt, count):
    model = llama_cpp.Llama(path, n_ctx=512, n_threads=2, n_threads_batch=2, verbose=False)
    model.eval(model.tokenize(prompt.encode(), add_bos=False, special=False))
    begin = time.perf_counter()
    for _ in range(count - 1):
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),))
        model.eval([int(logits.argmax())])
    speed = (count - 1) / (time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"tokens_per_second": speed, "peak_memory_bytes": peak}))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
