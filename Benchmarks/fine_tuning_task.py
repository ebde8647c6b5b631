#!/usr/bin/env python3
"""Makes a task from WordNet's nouns: what does a word mean?

usage: fine_tuning_task.py DATA_NOUN OUT [--examples N] [--questions N]

DATA_NOUN is `data.noun` of WordNet (Debian's package wordnet-base). OUT gets `train.jsonl`, a `prompt` and a
`completion` in each line; `meanings.jsonl`, questions with four choices, about words that the examples do not
have; and `held-out.txt`, the right answers to the questions as a text. The wrong choices are meanings of other
words of the same kind (animals, plants, persons …), so that the kind alone does not answer a question.
"""
import argparse
import collections
import json
import pathlib
import random

parser = argparse.ArgumentParser(description="Makes a task from WordNet's nouns.")
parser.add_argument("nouns", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--examples", type=int, default=800)
parser.add_argument("--questions", type=int, default=300)
options = parser.parse_args()

# One meaning per word, the first one in the file; the same meaning serves one word.
meanings = {}
for line in options.nouns.read_text().splitlines():
    if line.startswith("  "):
        continue  # The licence.
    fields, _, gloss = line.partition(" | ")
    fields = fields.split()
    kind, word, meaning = fields[1], fields[4].replace("_", " "), gloss.split(";")[0].strip()
    if 16 <= len(meaning) <= 100 and '"' not in meaning and word.lower() not in meaning.lower():
        meanings.setdefault(word, (kind, meaning))

words = sorted(meanings)
random.Random(1).shuffle(words)
asked, shown = words[: options.questions], words[options.questions : options.questions + options.examples]
of_kind = collections.defaultdict(list)
for word in words:
    of_kind[meanings[word][0]].append(meanings[word][1])

options.out.mkdir(parents=True, exist_ok=True)
with open(options.out / "train.jsonl", "w") as file:
    for word in shown:
        print(json.dumps({"prompt": f"{word}:", "completion": f" {meanings[word][1]}"}), file=file)
with open(options.out / "meanings.jsonl", "w") as file:
    for number, word in enumerate(asked):
        kind, right = meanings[word]
        draw = random.Random(number)
        others = draw.sample([m for m in dict.fromkeys(of_kind[kind]) if m != right], 3)
        choices = [right, *others]
        draw.shuffle(choices)
        question = {"question": f"{word}:", "choices": choices, "answer": choices.index(right)}
        print(json.dumps(question), file=file)
(options.out / "held-out.txt").write_text("".join(f"{word}: {meanings[word][1]}\n" for word in asked))
