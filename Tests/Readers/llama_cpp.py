#!/usr/bin/env python3
"""Tells what llama.cpp, as xllamacpp has it, makes of a GGUF file.

usage: llama_cpp.py FILE.gguf TOKEN ...

Prints the log-probability of each token of the vocabulary after the tokens, one per line, in the order of their numbers.
"""
import sys

import xllamacpp


def main(path, tokens):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = params.n_batch = params.n_ubatch = 64
    params.n_parallel = params.cpuparams.n_threads = 1
    params.warmup = False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = -1
    answer = xllamacpp.Server(params).handle_completions(
        {"prompt": tokens, "n_predict": 1, "n_probs": 1 << 20, "temperature": -1.0, "cache_prompt": False,
         "ignore_eos": True})
    told = {entry["id"]: entry["logprob"] for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
    for token in range(len(told)):
        print(told[token])


main(sys.argv[1], [int(token) for token in sys.argv[2:]])
