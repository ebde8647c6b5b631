#!/usr/bin/env bash
# One step of calibration, rank 16, windows of 256 tokens: rilq and a PyTorch script by turns.
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

run_rilq() {
  "$rilq" calibrate "$work/attached.rilq" "$work/calibrated.rilq" --force --teacher "$checkpoint" --text "$text" \
    --length 256 --samples $windows --updates $((windows / 8)) --batch 8 --validation 0 --learning-rate 1e-3 \
    --json --quiet >"$work/rilq.$1.json"
  value seconds_per_window_median "$work/rilq.$1.json" >>"$work/rilq.seconds"
  value peak_memory_bytes "$work/rilq.$1.json" >>"$work/rilq.memory"
}

run_twin() {
  "$python" "$twin" "$checkpoint" --calibration "$text" --evaluation "$text" --steps-only $windows \
    2>"$work/twin.errors" | grep seconds_per_window_median >"$work/twin.$1.json"
  value seconds_per_window_median "$work/twin.$1.json" >>"$work/twin.seconds"
  value peak_memory_bytes "$work/twin.$1.json" >>"$work/twin.memory"
}

# row NAME FILES: the medians of the runs.
row() {
  printf '%-8s %6.3f s a window  %5d MB at most\n' "$1" "$(median <"$work/$2.seconds")" \
    "$(megabytes "$(median <"$work/$2.memory")")"
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
for run in $(seq "$runs"); do
  run_rilq "$run"
  [ $compares = no ] || run_twin "$run"
done
echo "median of $runs runs, each the median of $windows windows"
row rilq rilq
[ $compares = no ] || {
  row PyTorch twin
  echo "rilq is $(ratio "$(median <"$work/twin.seconds")" "$(median <"$work/rilq.seconds")") times as fast," \
    "in $(ratio "$(median <"$work/rilq.memory")" "$(median <"$work/twin.memory")") of the memory"
}
