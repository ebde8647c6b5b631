#!/usr/bin/env bash
# Fine-tunes adapters of a 2-bit model on a task, from different beginnings and with equal updates. Goes on where
# it stopped: what is in FOLDER is not made again.
# usage: fine-tuning.sh FOLDER CHECKPOINT CALIBRATION DATA_NOUN [--updates N] [--examples N] [--questions N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

line="fine-tuning.sh FOLDER CHECKPOINT CALIBRATION DATA_NOUN [--updates N] [--examples N] [--questions N]"
[ $# -ge 4 ] || usage "$line"
folder=$1 checkpoint=$2 calibration=$3 nouns=$4 updates=100 examples=800 questions=300
shift 4
while [ $# -gt 1 ]; do
  case $1 in
  --updates) updates=$2 ;;
  --examples) examples=$2 ;;
  --questions) questions=$2 ;;
  *) usage "$line" ;;
  esac
  shift 2
done
[ $# -eq 0 ] || usage "$line"
[ "$examples" -ge $((8 * updates)) ] || usage "$line, at least 8 examples for each update"
need "$checkpoint" checkpoint
need "$calibration" "calibration text"
need "$nouns" "WordNet's nouns"
build_rilq
mkdir -p "$folder"
"$python" "$benchmarks/fine_tuning_task.py" "$nouns" "$folder/task" --examples "$examples" --questions "$questions"

# make FILE COMMAND...: runs a command that writes FILE.rilq, unless it is there; its JSON goes to FILE.json.
make() {
  local name=$1
  shift
  [ -e "$folder/$name.rilq" ] || {
    echo "$name" >&2
    "$rilq" "$@" --json --quiet >"$folder/$name.json"
  }
}

# attach NAME KIND [OPTION...]: an adapter of rank 16 beside the quantized weights.
attach() {
  make "$1" attach "$folder/base.rilq" "$folder/$1.rilq" --kind "$2" --rank 16 "${@:3}"
}

# recover NAME FROM: trains the adapter of FROM on any text to match the original, by RILQ's loss.
recover() {
  make "$1" calibrate "$folder/$2.rilq" "$folder/$1.rilq" --teacher "$checkpoint" --text "$calibration" \
    --samples 160 --length 256 --updates 40 --batch 4 --learning-rate 1e-3 --warmup 2 --schedule cosine \
    --train adapter --validation 0
}

# tune FROM: trains the adapter of FROM on the task alone.
tune() {
  make "$1-tuned" calibrate "$folder/$1.rilq" "$folder/$1-tuned.rilq" --teacher "$checkpoint" \
    --text "$folder/task/train.jsonl" --samples "$examples" --length 64 --updates "$updates" --batch 8 \
    --model-weight 0 --ground-truth-weight 1 --learning-rate 1e-3 --warmup 5 --schedule cosine \
    --train adapter --validation 0
}

# loss NAME: the mean loss of the completions in the last quarter of the updates. Each example is used once, so that
# these were not learned yet.
loss() {
  case $1 in *-tuned) ;; *) return 0 ;; esac
  "$python" - "$folder/$1.json" <<'PYTHON'
import json
import sys

curve = json.load(open(sys.argv[1]))["passes"][0].get("curve", [])
losses = [entry["gt_loss"] for entry in curve if "gt_loss" in entry]
last = losses[-(len(losses) // 4) :] if losses else []
print(f"{sum(last) / len(last):.3f}" if last else "")
PYTHON
}

# row LABEL FILE: the loss of unseen examples at the end of tuning, the perplexity of the right answers as a text,
# and the share of questions answered right.
row() {
  local tasks=$folder/$(basename "$2").tasks text=$folder/$(basename "$2").text
  [ -s "$text" ] || {
    "$rilq" eval "$2" --tasks "$folder/task/meanings.jsonl" --json --quiet >"$tasks"
    "$rilq" eval "$2" --text "$folder/task/held-out.txt" --window 256 --json --quiet >"$text"
  }
  printf '%-40s %8.6s %9.2f %8.1f %% %8.1f %%\n' "$1" "$(loss "$(basename "$2" .rilq)")" "$(value perplexity "$text")" \
    "$(awk "BEGIN {print 100 * $(value accuracy "$tasks")}")" \
    "$(awk "BEGIN {print 100 * $(value accuracy_normalized "$tasks")}")"
}

make base quantize "$checkpoint" "$folder/base.rilq" --method gptq --text "$calibration" --samples 32 --length 512 \
  --refit --tables f16
attach zero dense
attach loftq dense --init loftq --teacher "$checkpoint"
recover rilq zero
for name in rilq zero loftq; do tune $name; done
attach pooled pooled
recover pooled-rilq pooled
for name in pooled-rilq pooled; do tune $name; done
make merged merge "$folder/pooled-rilq-tuned.rilq" "$folder/merged.rilq"

printf '%-40s %8s %9s %10s %10s\n' "$updates updates of 8 examples" loss perplexity accuracy normalized
row "checkpoint, not tuned" "$checkpoint"
row "2 bits, not tuned" "$folder/base.rilq"
row "RILQ's adapters, not tuned" "$folder/rilq.rilq"
row "tuned from zero" "$folder/zero-tuned.rilq"
row "tuned from LoftQ" "$folder/loftq-tuned.rilq"
row "tuned from RILQ" "$folder/rilq-tuned.rilq"
row "pooled, tuned from zero" "$folder/pooled-tuned.rilq"
row "pooled, tuned from RILQ" "$folder/pooled-rilq-tuned.rilq"
row "the same, merged into the biases" "$folder/merged.rilq"
