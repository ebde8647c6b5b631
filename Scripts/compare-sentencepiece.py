#!/usr/bin/env python3
"""Compares the tokens of `rilq tokenize` with those of SentencePiece; prints a table.

usage: compare-sentencepiece.py RILQ MODEL... -- TEXT...
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import sentencepiece


def timed(body):
    begin = time.perf_counter()
    result = body()
    return result, time.perf_counter() - begin


def rilq_ids(rilq, model, text):
    command = [rilq, "tokenize", model, "--text", text, "--json"]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    return json.loads(output)["ids"]


def first_difference(ours, theirs):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return f"token {i}: {a}, expected {b}"
    return f"{len(ours)} tokens, expected {len(theirs)}"


def main():
    rilq, *rest = sys.argv[1:]
    separator = rest.index("--")
    models, texts = rest[:separator], rest[separator + 1 :]
    print("| model | text | tokens | equal | rilq, with start | sentencepiece |\n| --- | --- | --- | --- | --- | --- |")
    different = 0
    for model in models:
        processor = sentencepiece.SentencePieceProcessor(model_file=model)
        for text in texts:
            contents = Path(text).read_bytes().decode()
            expected, peer_seconds = timed(lambda: processor.encode(contents))
            ids, seconds = timed(lambda: rilq_ids(rilq, model, text))
            result = "yes" if ids == expected else first_difference(ids, expected)
            different += ids != expected
            row = [Path(model).name, Path(text).name, len(expected), result, f"{seconds:.2f} s", f"{peer_seconds:.2f} s"]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
