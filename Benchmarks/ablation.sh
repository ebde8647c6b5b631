#!/usr/bin/env bash
# The ablation of the RILQ paper: where the loss compares with the original, against the rank of dense adapters.
# usage: ablation.sh [--updates N] [--ranks "4 16 64"] [--method METHOD] [CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT]
# Without a checkpoint it is the fixture's. Every cell is the perplexity of the evaluation text with the adapters beside the
# codes; the updates and windows are the same throughout.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

updates=60 ranks="4 16 64" method=rtn length=128 samples=192
while [ $# -gt 0 ]; do
  case $1 in
  --updates) updates=$2 ;;
  --ranks) ranks=$2 ;;
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
calibration=$(realpath "$calibration")
evaluation=$(realpath "$evaluation")
build_rilq

perplexity() {
  "$rilq" eval "$1" --text "$evaluation" --window 256 "${limit[@]}" --json --quiet >"$work/eval.json" || return
  value perplexity "$work/eval.json"
}

# cell NAME RANK INITIALIZATION CALIBRATE-KEYS: quantizes, attaches, trains unless there are no keys; the perplexity.
cell() {
  cat >"$work/recipe.yaml" <<RECIPE
input: $(realpath "$checkpoint")
output: $work/$1-$2.rilq
passes:
  - quantize: {method: $method, bits: 2, group_size: 64${text[*]:+, text: $calibration}}
  - attach: {kind: dense, rank: $2, init: $3}
RECIPE
  [ -z "$4" ] || cat >>"$work/recipe.yaml" <<RECIPE
  - calibrate: {text: $calibration, samples: $samples, length: $length, updates: $updates, batch: 8, validation: 0,
                learning_rate: 1e-3, schedule: cosine, $4}
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
line "svd, not trained" loftq ""
line "qera, not trained" "qera, text: $calibration, samples: 64, length: $length" ""
line "linear" zero "scope: linear, model_weight: 1, ground_truth_weight: 0"
line "layer" zero "scope: layer, model_weight: 1, ground_truth_weight: 0"
line "model" zero "scope: model, model_weight: 1, ground_truth_weight: 0"
line "model and ground truth" zero "scope: model"
line "qera, then both" "qera, text: $calibration, samples: 64, length: $length" "scope: model"
