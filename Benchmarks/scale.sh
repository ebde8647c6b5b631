#!/usr/bin/env bash
# Time and memory on a checkpoint of Llama 2 7B's shapes: `rilq quantize`, gptq in the order of activation with
# --refit and one sweep, of its first layers, and two updates of `rilq calibrate` of a 2-bit version against the
# checkpoint. Runs on one thread and on two give the serial share; from it follow the times on more cores.
# usage: scale.sh FOLDER [LAYERS [SELECTED]]
# FOLDER gets `layers-LAYERS` (kept, created only if missing) and the outputs (removed). LAYERS is 32 (13.5 GB) by
# default, of which gptq quantizes the first SELECTED, 4. WINDOWS (16) and LENGTH (512) are gptq's windows, BATCH (1)
# and TOKENS (256) the windows of an update. Writing the layers that stay is no part of gptq's time: that of rtn is
# subtracted. THREADS=2 leaves out the runs on one thread, and the serial share.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ $# -lt 1 ] || [ $# -gt 3 ]; then usage "scale.sh FOLDER [LAYERS [SELECTED]]"; fi
folder=$1 layers=${2:-32} selected=${3:-4}
read -ra threads <<<"${THREADS:-1 2}"
has_python json || skip "python3 is not there"
[ "$(nproc)" -ge "${threads[-1]}" ] || skip "${threads[-1]} cores"
build_rilq
mkdir -p "$folder"
checkpoint=$folder/layers-$layers packed=$folder/packed.rilq output=$folder/output.rilq
text=$root/Fixtures/tiny-llama/calibration.txt
if [ ! -e "$checkpoint/tokenizer.json" ]; then
  rm -rf "$checkpoint"
  "$python" "$benchmarks/large_checkpoint.py" "$checkpoint" --shapes llama-2-7b --layers "$layers"
  # Any text will do, and any tokenizer whose ids are in the vocabulary.
  cp "$root"/Fixtures/tiny-llama/tokenizer*.json "$checkpoint"
fi

# run NAME COMMAND...: runs rilq with --json; sets $wall and $core to its seconds, $peak to its memory in MB.
run() {
  local name=$1 user system TIMEFORMAT='%R %U %S'
  shift
  { time "$rilq" "$@" --force --quiet --json >"$work/$name" 2>"$work/errors"; } 2>"$work/time" ||
    { cat "$work/errors" >&2; exit 1; }
  read -r wall user system <"$work/time"
  core=$(awk "BEGIN {print $user + $system}")
  peak=$(megabytes "$(value peak_memory_bytes "$work/$name")")
  rm -f "$output"
}

# planned COMMAND...: the memory beside mapped files that a plan says, in MB.
planned() {
  "$rilq" "$@" --dry-run --json >"$work/plan"
  megabytes "$(value memory_bytes "$work/plan")"
}

# project TIMES UNIT: from the times on one thread and on two, their serial part and the times on more cores.
project() {
  # Amdahl: the time on n cores is serial + parallel / n.
  awk -v times="$1" -v unit="$2" 'BEGIN {
    split(times, t, " ")
    serial = 2 * t[2] - t[1]
    if (serial < 0) serial = 0
    if (serial > t[1]) serial = t[1]
    parallel = t[1] - serial
    printf "  serial: %.1f s, %.1f %% of the time on one thread\n", serial, 100 * serial / t[1]
    for (n = 2; n <= 64; n *= 2)
      if (n == 2 || n == 8 || n >= 32) printf "  %s on %d cores: %.0f s\n", unit, n, serial + parallel / n
  }'
}

# The patterns of the linears of the first layers.
mapfile -t targets < <(for layer in $(seq 0 $((selected - 1))); do echo "model.layers.$layer.*"; done)
first=("$checkpoint" "$output" --targets "${targets[@]}")
gptq=(quantize "${first[@]}" --method gptq --activation-order --refit --sweeps 1 --text "$text"
  --samples "${WINDOWS:-16}" --length "${LENGTH:-512}")
echo "gptq, the first $selected of $layers layers"
times=""
for count in "${threads[@]}"; do
  run rtn quantize "${first[@]}" --threads "$count"
  rtn_wall=$wall rtn_core=$core
  planned=$(planned "${gptq[@]}" --threads "$count")
  run gptq "${gptq[@]}" --threads "$count"
  seconds=$(awk "BEGIN {print ($wall - $rtn_wall) / $selected}")
  awk "BEGIN {printf \"  $count threads: %.1f s and %.1f core seconds per layer\n\", $seconds, ($core - $rtn_core) / $selected}"
  echo "    $peak MB peak, mapped files included; planned: $planned MB beside them"
  times+="$(awk "BEGIN {print 32 * $seconds}") "
done
[ "${#threads[@]}" -lt 2 ] || project "$times" "32 layers"

batch=${BATCH:-1}
"$rilq" quantize "$checkpoint" "$packed" --force --quiet --compression none >/dev/null
calibrate=(calibrate "$packed" "$output" --teacher "$checkpoint" --text "$text" --samples $((2 * batch))
  --length "${TOKENS:-256}" --updates 2 --batch "$batch" --validation 0 --products bf16)
echo "calibrate, 2 updates of $batch windows of ${TOKENS:-256} tokens"
times=""
for count in "${threads[@]}"; do
  planned=$(planned "${calibrate[@]}" --threads "$count")
  run calibrate "${calibrate[@]}" --threads "$count"
  step=$(value seconds_per_window_median "$work/calibrate")
  echo "  $count threads: $(printf %.1f "$step") s per window; in all $wall s, $core core seconds"
  echo "    $peak MB peak, mapped files included; planned: $planned MB beside them"
  times+="$step "
done
[ "${#threads[@]}" -lt 2 ] || project "$times" "a window"
rm -f "$packed"
