#!/usr/bin/env python3
"""Tokens per second with which llama.cpp reads a prompt and continues it greedily, for `generation.sh`.

usage: generation_llama_cpp.py FILE.gguf PROMPT TOKENS

Prints one JSON object: tokens_per_second, which leaves the prompt out as `rilq generate` does,
prompt_tokens_per_second and peak_memory_bytes. Two threads; a token that ends the text does not end it. Needs
xllamacpp.
"""
import json
import resource
import sys

import xllamacpp


def main(path, prompt, count):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 1024
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 2
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    answer = server.handle_completions(
        {"prompt": prompt, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": False})
    timings = (json.loads(answer) if isinstance(answer, str) else answer)["timings"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "tokens_per_second": timings["predicted_per_second"],
        "prompt_tokens_per_second": timings["prompt_per_second"],
        "peak_memory_bytes": peak,
        "prompt_token_count": timings["prompt_n"],
        "instructions": xllamacpp.get_system_info(),
    }, indent=1))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
