#!/usr/bin/env bash
# Processor seconds per layer and peak memory of `rilq quantize`, gptq in the order of activation with --refit and
# one sweep, on layers of Llama 2 7B's shapes. Runs on one thread and on two give the serial share; from it follow
# the times of 32 layers on more cores.
# usage: layerwise.sh FOLDER [LAYERS]
# FOLDER gets `layers-LAYERS` (kept, created only if missing) and the output (removed). LAYERS is 2 by default.
# WINDOWS (16) and LENGTH (512) are the windows of the text.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ $# -lt 1 ] || [ $# -gt 2 ]; then usage "layerwise.sh FOLDER [LAYERS]"; fi
folder=$1 layers=${2:-2}
has_python json || skip "python3 is not there"
[ "$(nproc)" -ge 2 ] || skip "a second core"
build_rilq
mkdir -p "$folder"
checkpoint=$folder/layers-$layers output=$folder/quantized.rilq
if [ ! -e "$checkpoint/tokenizer.json" ]; then
  rm -rf "$checkpoint"
  "$python" "$benchmarks/large_checkpoint.py" "$checkpoint" --shapes llama-2-7b --layers "$layers"
  # Any text will do, and any tokenizer whose ids are in the vocabulary.
  cp "$root"/Fixtures/tiny-llama/tokenizer*.json "$checkpoint"
fi

# quantize THREADS: prints wall seconds and processor seconds, user and system.
quantize() {
  local TIMEFORMAT='%R %U %S'
  { time "$rilq" quantize "$checkpoint" "$output" --force --quiet --json --threads "$1" --method gptq \
    --activation-order --refit --sweeps 1 --samples "${WINDOWS:-16}" --length "${LENGTH:-512}" \
    --text "$root/Fixtures/tiny-llama/calibration.txt" >"$work/report-$1" 2>"$work/errors"; } 2>&1 ||
    { cat "$work/errors" >&2; exit 1; }
  rm -f "$output"
}

for threads in 1 2; do
  read -r wall user system < <(quantize "$threads")
  declare "wall_$threads=$wall"
  awk -v n="$threads" -v w="$wall" -v u="$user" -v s="$system" -v l="$layers" -v p="$(value peak_memory_bytes "$work/report-$threads")" \
    'BEGIN {printf "%d threads: %.1f s per layer, %.1f core seconds per layer, %.0f MB peak\n", n, w / l, (u + s) / l, p / 1e6}'
done

# Amdahl: the time on n cores is serial + parallel / n.
awk -v a="$wall_1" -v b="$wall_2" -v l="$layers" 'BEGIN {
  serial = 2 * b - a
  if (serial < 0) serial = 0
  parallel = a - serial
  printf "serial: %.1f s per layer, %.1f %% of the time on one thread\n", serial / l, 100 * serial / a
  for (n = 1; n <= 64; n *= 2)
    if (n <= 2 || n == 8 || n >= 32)
      printf "32 layers on %d cores: %.0f s\n", n, 32 / l * (serial + parallel / n)
}'
