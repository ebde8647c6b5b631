#!/usr/bin/env bash
# One step of calibration, rank 16, windows of 256 tokens: rilq and a PyTorch script in turns.
# usage: calibration.sh CHECKPOINT TEXT [--twin SCRIPT] [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 2 ] || usage "calibration.sh CHECKPOINT TEXT [--twin SCRIPT] [--runs N]"
checkpoint=$1 text=$2 twin='' runs=3 windows=16
shift 2
while [ $# -gt 1 ]; do
  case $1 in
  --twin) twin=$2 ;;
  --runs) runs=$2 ;;
  *) usage "calibration.sh CHECKPOINT TEXT [--twin SCRIPT] [--runs N]" ;;
  esac
  shift 2
done
need "$checkpoint" checkpoint
need "$text" text
build_rilq

"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --bits 2 --group-size 64 --quiet >/dev/null
"$rilq" attach "$work/quantized.rilq" "$work/attached.rilq" --kind dense --rank 16 --quiet >/dev/null

measured="seconds_per_window_median peak_memory_bytes"

run_rilq() {
  keep "$1" "$measured products" "$rilq" calibrate "$work/attached.rilq" "$work/calibrated.rilq" --force \
    --teacher "$checkpoint" --text "$text" --length 256 --samples $windows --updates $((windows / 8)) --batch 8 \
    --validation 0 --learning-rate 1e-3 --products "$1" --json --quiet
}

run_twin() {
  keep twin "$measured" "$python" "$twin" "$checkpoint" --calibration "$text" --evaluation "$text" --steps-only $windows
}

# row NAME FILES: the medians of the runs.
row() {
  printf '%-14s %6.3f s a window  %5d MB at most\n' "$1" "$(median <"$work/$2.seconds_per_window_median")" \
    "$(megabytes "$(median <"$work/$2.peak_memory_bytes")")"
}

# gain NAME: the speedup and the memory saving relative to the PyTorch script.
gain() {
  echo "$(ratio "$(median <"$work/twin.seconds_per_window_median")" "$(median <"$work/$1.seconds_per_window_median")")" \
    "times as fast, in $(ratio "$(median <"$work/$1.peak_memory_bytes")" "$(median <"$work/twin.peak_memory_bytes")") of the memory"
}

compares=no
if [ -z "$twin" ]; then
  echo "no --twin: rilq alone"
elif ! has_python torch transformers; then
  echo "$python has no torch and transformers: rilq alone"
else
  need "$twin" "PyTorch script"
  compares=yes
fi
for _ in $(seq "$runs"); do
  run_rilq f32
  run_rilq bf16
  [ $compares = no ] || run_twin
done
echo "median of $runs runs, each the median of $windows windows"
row "rilq" f32
row "rilq, bf16" bf16
! grep -q f32 "$work/bf16.products" || echo "(this processor has no AVX512-BF16: bf16 is f32 here)"
[ $compares = no ] || {
  row "PyTorch, fp32" twin
  echo "rilq is $(gain f32)"
  echo "rilq with bf16 is $(gain bf16)"
}
