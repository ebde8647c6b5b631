#!/usr/bin/env bash
# Grids of 2 bits beside each other: each is quantized with the same windows, then calibrated in the same way.
# usage: grids.sh FOLDER CHECKPOINT CALIBRATION-TEXT EVALUATION-TEXT SECOND-TEXT [ROW ...]
# A ROW is a grid. Without ROW they are affine, zero_point, portable, symmetric, q2_k, iq2_xs and iq2_s; the last
# three need weights whose rows are multiples of 256. Each model stays in FOLDER, and another call takes those that
# are there. SAMPLES (default 32) is the number of windows for the codes, UPDATES (default 40) that of updates of 4
# windows each, TOKENS (default 8192) that of each evaluation. QUANTIZE and CALIBRATE are further options of both.
# A row has the bits per weight, and the perplexity and the mean KL to the checkpoint on both texts, before and
# after calibration.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

read_study grids.sh "$@"
shift 5
build_rilq
grids=(affine zero_point portable symmetric q2_k iq2_xs iq2_s)
[ $# -eq 0 ] || grids=("$@")
updates=${UPDATES:-40}
read -ra quantize <<<"${QUANTIZE-}"
read -ra calibrate <<<"${CALIBRATE---kl-weight 1 --ground-truth-weight 0.2}"

# make GRID: the quantized and the calibrated model.
make() {
  local quantized=$folder/$1.rilq calibrated=$folder/$1-calibrated.rilq
  local -a layout=(--grid "$1")
  case $1 in affine | zero_point | portable | symmetric) layout+=(--group-size 64 --tables f16) ;; esac
  [ -e "$quantized" ] ||
    "$rilq" quantize "$checkpoint" "$quantized" --method gptq "${layout[@]}" --refit --sweeps 1 --propagation 0.5 \
      --text "$calibration" --samples "${SAMPLES:-32}" "${quantize[@]}" --quiet >/dev/null || return
  [ -e "$calibrated" ] || {
    "$rilq" calibrate "$quantized" "$work/$1.rilq" --teacher "$checkpoint" --text "$calibration" --samples $((4 * updates)) \
      --updates "$updates" --batch 4 --learning-rate 2e-3 --warmup 2 --schedule cosine --validation 0 "${calibrate[@]}" \
      --quiet >/dev/null && "$rilq" merge "$work/$1.rilq" "$calibrated" --quiet >/dev/null
  }
}

# row NAME MODEL: prints a row.
row() {
  local text columns=
  for text in "$evaluation" "$second"; do
    "$rilq" eval "$2" --reference "$checkpoint" --text "$text" --window 512 --max-tokens "${TOKENS:-8192}" --json --quiet \
      >"$work/eval.json" || return
    columns+=$(awk -v perplexity="$(value perplexity "$work/eval.json")" -v kl="$(value mean_kl "$work/eval.json")" \
      'BEGIN {printf " %.2f | %.4f |", perplexity, kl}')
  done
  "$rilq" inspect "$2" --json >"$work/inspect.json" || return
  printf '| %s | %.3f |%s\n' "$1" "$(value bits_per_weight "$work/inspect.json")" "$columns"
}

echo '| grid | bits per weight | perplexity | mean KL | second text | mean KL |'
echo '| --- | ---: | ---: | ---: | ---: | ---: |'
for grid in "${grids[@]}"; do
  make "$grid" && row "$grid" "$folder/$grid.rilq" && row "$grid, calibrated" "$folder/$grid-calibrated.rilq" ||
    echo "failed: $grid" >&2
done
