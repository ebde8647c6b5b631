#!/usr/bin/env bash
# The ablation of the RILQ paper: the scope of the loss against the rank of dense adapters.
# usage: ablation.sh [--updates N] [--ranks "4 16 64"] [--rows "svd model ..."] [--method METHOD]
#          [CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT]
# The rows are svd, qera, linear, layer, model, both and qera-both. Without a checkpoint, the fixture is used.
# Every cell is the perplexity of the evaluation text with unmerged adapters. All rows use the same updates
# and windows.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

updates=60 ranks="4 16 64" rows="svd qera linear layer model both qera-both" method=rtn length=128 samples=192
while [ $# -gt 0 ]; do
  case $1 in
  --updates) updates=$2 ;;
  --ranks) ranks=$2 ;;
  --rows) rows=$2 ;;
  --method) method=$2 ;;
  *) break ;;
  esac
  shift 2
done
fixture=$root/Fixtures/tiny-llama
checkpoint=${1:-$fixture} calibration=${2:-$fixture/calibration.txt} evaluation=${3:-$fixture/evaluation.txt}
limit=()
[ $# -eq 0 ] || limit=(--max-tokens 16384)
need "$checkpoint" checkpoint
checkpoint=$(realpath "$checkpoint")
calibration=$(realpath "$calibration")
evaluation=$(realpath "$evaluation")
build_rilq

perplexity() {
  "$rilq" eval "$1" --text "$evaluation" --window 256 "${limit[@]}" --json --quiet >"$work/eval.json" || return
  value perplexity "$work/eval.json"
}

# cell NAME RANK INITIALIZATION CALIBRATE-KEYS: attaches, trains if there are keys, and prints the perplexity.
cell() {
  cat >"$work/recipe.yaml" <<RECIPE
input: $work/base.rilq
output: $work/$1-$2.rilq
passes:
  - attach: {kind: dense, rank: $2, init: $3}
RECIPE
  [ -z "$4" ] || cat >>"$work/recipe.yaml" <<RECIPE
  - calibrate: {teacher: $checkpoint, text: $calibration, samples: $samples, length: $length, updates: $updates, batch: 8,
                validation: 0, learning_rate: 1e-3, schedule: cosine, $4}
RECIPE
  "$rilq" convert "$work/recipe.yaml" --quiet >/dev/null || return
  perplexity "$work/$1-$2.rilq"
}

# line NAME INITIALIZATION KEYS: a row of the table.
line() {
  printf '| %-22s |' "$1"
  local rank result
  for rank in $ranks; do
    result=$(cell "${1//[, ]/-}" "$rank" "$2" "$3")
    printf ' %10.2f |' "$result"
  done
  printf '\n'
}

text=()
[ "$method" = rtn ] || text=(--text "$calibration")
"$rilq" quantize "$checkpoint" "$work/base.rilq" --method "$method" "${text[@]}" --quiet >/dev/null
printf 'checkpoint %.2f, after %s at 2 bits %.2f\n\n' "$(perplexity "$checkpoint")" "$method" "$(perplexity "$work/base.rilq")"
printf '| perplexity by rank     |'
for rank in $ranks; do printf ' %10d |' "$rank"; done
printf '\n| --- |'
for rank in $ranks; do printf ' ---: |'; done
printf '\n'
qera="qera, teacher: $checkpoint, text: $calibration, samples: 64, length: $length"
for row in $rows; do
  case $row in
  svd) line "svd, not trained" "loftq, teacher: $checkpoint" "" ;;
  qera) line "qera, not trained" "$qera" "" ;;
  linear | layer | model) line "$row" zero "scope: $row, model_weight: 1, ground_truth_weight: 0" ;;
  both) line "model and ground truth" zero "scope: model" ;;
  qera-both) line "qera, then both" "$qera" "scope: model" ;;
  *) usage "ablation.sh: there is no row '$row'" ;;
  esac
done
