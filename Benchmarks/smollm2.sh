#!/usr/bin/env bash
# The main job on SmolLM2-135M: Recipes/smollm2-dense.yaml and Recipes/smollm2-affine.yaml, with perplexities
# between the passes.
# usage: smollm2.sh CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT [--set NAME=VALUE ...]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 3 ] || usage "smollm2.sh CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT [--set NAME=VALUE ...]"
checkpoint=$1 calibration=$2 evaluation=$3
shift 3
need "$checkpoint" checkpoint
need "$calibration" "calibration text"
need "$evaluation" "evaluation text"
calibration=$(realpath "$calibration")
evaluation=$(realpath "$evaluation")
build_rilq

row() {
  "$rilq" eval "$2" --text "$evaluation" --window 512 --max-tokens 16384 --json --quiet >"$work/eval.json"
  "$rilq" inspect "$2" --json >"$work/inspect.json"
  printf '%-32s perplexity %12.2f  %5.2f bits a weight\n' "$1" "$(value perplexity "$work/eval.json")" \
    "$(value bits_per_weight "$work/inspect.json")"
}

# convert NAME ARGUMENTS...: runs a recipe; its report is $work/NAME.json.
convert() {
  "$rilq" convert "$root/Recipes/smollm2-$1.yaml" --set "input=$checkpoint" --set "output=$work/$1.rilq" \
    --set "calibration=$calibration" --json "${@:2}" >"$work/$1.json"
}

# loss KEY FILE: the loss in the object of a key.
loss() {
  sed -n "/\"$1\": {/,/}/p" "$2" >"$work/losses.json"
  value loss "$work/losses.json"
}

# what NAME: the measurements of a recipe's run.
what() {
  printf '  calibration: validation loss %.4f, then %.4f; %.2f s a window; %d MB at most in all\n' \
    "$(loss validation_before "$work/$1.json")" "$(loss validation_after "$work/$1.json")" \
    "$(value seconds_per_window_median "$work/$1.json")" "$(megabytes "$(value peak_memory_bytes "$work/$1.json")")"
}

row checkpoint "$checkpoint"
"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --quiet >/dev/null
row "after quantize" "$work/quantized.rilq"
convert dense "$@"
row "dense adapters, rank 16" "$work/dense.rilq"
what dense
convert affine --set "evaluation=$evaluation" "$@"
row "biases and scales, merged" "$work/affine.rilq"
what affine
echo "  merged against unmerged: mean KL $(value mean_kl "$work/affine.json")"
"$rilq" merge "$work/affine.rilq" "$work/small.rilq" --tables f16 --quiet >/dev/null
row "the same with f16 tables" "$work/small.rilq"
