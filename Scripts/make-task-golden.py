#!/usr/bin/env python3
"""Log likelihoods of multiple-choice answers by Hugging Face transformers, for Fixtures/golden/tasks.json.

usage: Scripts/make-task-golden.py [--harness]        (needs torch and transformers)

The plain definition: each choice is run by itself after its question. `--harness` writes nothing; it compares
the golden file with what lm-evaluation-harness computes from the same questions; this needs lm-eval and
accelerate.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "Fixtures/tiny-llama"
TASKS = ROOT / "Fixtures/tasks/general.jsonl"
GOLDEN = ROOT / "Fixtures/golden/tasks.json"
# A difference of rounding must not be able to change which choice is best.
LEAST_MARGIN = 1e-3


def choices_of(line):
    choices = line["choices"]
    return choices["text"] if isinstance(choices, dict) else choices


def answer_of(line):
    """The index of the right choice: the spellings of the fixture only."""
    answer = next(line[key] for key in ("answer", "answerKey", "label") if key in line)
    if isinstance(answer, int):
        return answer
    if isinstance(line["choices"], dict):
        return line["choices"]["label"].index(answer)
    if answer in line["choices"]:
        return line["choices"].index(answer)
    if answer.isdigit():
        return int(answer)
    return "ABCDEFGH".index(answer.strip("().").upper())


def tokens_of(tokenizer, question, choice):
    """The tokens of the question and of the choice, cut where the question's tokens end."""
    text = question.rstrip()
    joint = question[len(text):] or " "
    if not text:
        return [tokenizer.bos_token_id], tokenizer.encode(joint + choice, add_special_tokens=False)
    context = tokenizer.encode(text)
    return context, tokenizer.encode(text + joint + choice)[len(context):]


def log_likelihood(model, context, continuation):
    ids = torch.tensor([context + continuation])
    with torch.no_grad():
        scores = model(ids).logits[0].double().log_softmax(-1)
    rows = range(len(context) - 1, ids.shape[1] - 1)
    return sum(scores[row, ids[0, row + 1]].item() for row in rows)


def best(scores):
    ordered = sorted(scores, reverse=True)
    assert ordered[0] - ordered[1] > LEAST_MARGIN, f"nearly a tie: {scores}"
    return scores.index(ordered[0])


def make(lines):
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    questions, tasks = [], {}
    for line in lines:
        choices = choices_of(line)
        pairs = [tokens_of(tokenizer, line["question"], choice) for choice in choices]
        sums = [log_likelihood(model, *pair) for pair in pairs]
        chosen = best(sums)
        normalized = best([s / len(choice) for s, choice in zip(sums, choices)])
        questions.append({
            "id": line["id"], "context_tokens": pairs[0][0], "choice_tokens": [pair[1] for pair in pairs],
            "log_likelihoods": sums, "chosen": chosen, "chosen_normalized": normalized,
        })
        answer = answer_of(line)
        tasks.setdefault(line["task"], []).append((chosen == answer, normalized == answer))
    return {
        "tasks": [
            {"name": name, "questions": len(marks),
             "accuracy": share(marks, 0), "standard_error": error(marks, 0),
             "accuracy_normalized": share(marks, 1), "standard_error_normalized": error(marks, 1)}
            for name, marks in tasks.items()
        ],
        "questions": questions,
    }


def share(marks, index):
    return sum(mark[index] for mark in marks) / len(marks)


def error(marks, index):
    p = share(marks, index)
    return (p * (1 - p) / (len(marks) - 1)) ** 0.5


def compare_with_harness(lines):
    """Runs each task in lm-evaluation-harness and compares accuracies, errors and log likelihoods."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    golden = json.loads(GOLDEN.read_text())
    known = {question["id"]: question for question in golden["questions"]}
    with tempfile.TemporaryDirectory() as folder:
        for task in golden["tasks"]:
            path = Path(folder) / f"{task['name']}.jsonl"
            # The harness always puts its delimiter before a choice, so the questions lose their last space.
            path.write_text("".join(
                json.dumps({"id": line["id"], "question": line["question"].rstrip(),
                            "choices": choices_of(line), "answer": answer_of(line)}) + "\n"
                for line in lines if line["task"] == task["name"]))
            (Path(folder) / f"{task['name']}.yaml").write_text(json.dumps({
                "task": task["name"], "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test",
                "output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "choices",
                "doc_to_target": "answer",
                "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]}))
        names = [task["name"] for task in golden["tasks"]]
        result = lm_eval.simple_evaluate(
            model=HFLM(pretrained=str(MODEL), dtype="float32", device="cpu", batch_size=1), tasks=names,
            task_manager=TaskManager(include_path=folder, include_defaults=False), log_samples=True)
    worst = 0
    for task in golden["tasks"]:
        theirs = result["results"][task["name"]]
        for ours, key in [("accuracy", "acc,none"), ("standard_error", "acc_stderr,none"),
                          ("accuracy_normalized", "acc_norm,none"),
                          ("standard_error_normalized", "acc_norm_stderr,none")]:
            print(f"{task['name']:10} {ours:27} {task[ours]:.6f} {theirs[key]:.6f}")
            worst = max(worst, abs(task[ours] - theirs[key]))
        for sample in result["samples"][task["name"]]:
            theirs = [response[0] for response in sample["filtered_resps"]]
            ours = known[sample["doc"]["id"]]["log_likelihoods"]
            worst = max(worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    print(f"largest difference: {worst:.2e}")
    assert worst < 1e-4


def main():
    lines = [json.loads(line) for line in TASKS.read_text().splitlines()]
    if "--harness" in sys.argv[1:]:
        compare_with_harness(lines)
    else:
        GOLDEN.write_text(json.dumps(make(lines), indent=1, ensure_ascii=False) + "\n")


main()
