#!/usr/bin/env bash
# Bytes of input per second of `rilq quantize`, rtn w2g64, compared with copying the same bytes. Page cache
# warm, output on disk.
# usage: quantize.sh CHECKPOINT [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 1 ] || { [ $# -eq 3 ] && [ "$2" = --runs ]; } || usage "quantize.sh CHECKPOINT [--runs N]"
checkpoint=$1 runs=${3:-5}
need "$checkpoint" checkpoint
build_rilq
shards=("$checkpoint"/*.safetensors)
need "${shards[0]}" "weights in"
bytes=$(cat "${shards[@]}" | wc -c)

quantize() {
  "$rilq" quantize "$checkpoint" "$work/quantized.rilq" --quiet "$@"
}

# rilq waits until its output is on disk, and so does the copy.
copy() {
  cat "${shards[@]}" >"$work/copy"
  sync "$work/copy"
}

# Neither side has an earlier output to remove.
for _ in $(seq "$runs"); do
  rm -f "$work/quantized.rilq"
  seconds quantize >>"$work/zstd"
  rm -f "$work/quantized.rilq"
  seconds quantize --compression none >>"$work/none"
  rm -f "$work/copy"
  seconds copy >>"$work/copied"
done
echo "$(megabytes "$bytes") MB of input, median of $runs runs"
row() {
  local time
  time=$(median <"$work/$2")
  printf '%-36s %7.3f s  %6.0f MB/s\n' "$1" "$time" "$(awk "BEGIN {print $bytes / $time / 1e6}")"
}
row "rilq quantize" zstd
row "rilq quantize --compression none" none
row "cat and sync" copied
