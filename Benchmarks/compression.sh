#!/usr/bin/env bash
# Sizes of `.rilq` files, raw and compressed, dense and at 2 bits, and the speed of writing and reading,
# compared with `zstd` at its default level on the same bytes. Two threads, page cache warm, compressed output
# on disk.
#
# Times of rilq are of whole commands. Writing is `rilq convert` of the raw file, which also computes the
# digests of input and output. Reading is `rilq hash`, which checks CRC-32, decompresses, and computes SHA-256
# of everything. The same commands on raw files show the time without compression. zstd decompresses on one
# thread.
# usage: compression.sh CHECKPOINT [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 1 ] || { [ $# -eq 3 ] && [ "$2" = --runs ]; } || usage "compression.sh CHECKPOINT [--runs N]"
checkpoint=$1 runs=${3:-3}
need "$checkpoint" checkpoint
build_rilq
compares=yes
command -v zstd >/dev/null || { compares=no; echo "zstd is not there: rilq alone"; }

# make NAME COMMAND...: makes $work/NAME.raw.rilq.
make() {
  "$rilq" "$2" "$3" "$work/$1.raw.rilq" "${@:4}" --compression none --quiet >/dev/null
}

# run_rilq FILE COMPRESSION: writes $work/FILE again.
run_rilq() {
  "$rilq" convert "$raw" "$work/$1" --compression "$2" --threads 2 --force --quiet
}

run_zstd() {
  zstd -q -f -T2 "$raw" -o "$work/$1"
  sync "$work/$1"
}

# size NAME FILE: a row with the size of a file.
size() {
  local count
  count=$(wc -c <"$2")
  printf '  %-34s %8.1f MB  %5.1f %%\n' "$1" "$(awk "BEGIN {print $count / 1e6}")" \
    "$(awk "BEGIN {print 100 * $count / $bytes}")"
}

# speed NAME FILE: a row with the raw bytes per second.
speed() {
  local time
  time=$(median <"$work/$2")
  printf '  %-34s %8.2f s   %6.0f MB/s\n' "$1" "$time" "$(awk "BEGIN {print $bytes / $time / 1e6}")"
}

# measure NAME: all measurements of $work/NAME.raw.rilq.
measure() {
  raw=$work/$1.raw.rilq
  bytes=$(wc -c <"$raw")
  rm -f "$work"/*.seconds
  for _ in $(seq "$runs"); do
    seconds run_rilq packed.rilq zstd >>"$work/write.seconds"
    seconds run_rilq copy.rilq none >>"$work/copy.seconds"
    seconds "$rilq" hash "$work/packed.rilq" --threads 2 >>"$work/read.seconds"
    seconds "$rilq" hash "$raw" --threads 2 >>"$work/hash.seconds"
    [ $compares = no ] || {
      seconds run_zstd packed.zst >>"$work/zstd.seconds"
      seconds zstd -q -d -c "$work/packed.zst" >>"$work/unzstd.seconds"
    }
  done
  echo "$1"
  size "raw" "$raw"
  size "rilq" "$work/packed.rilq"
  [ $compares = no ] || size "zstd" "$work/packed.zst"
  speed "rilq convert, raw to compressed" write.seconds
  speed "rilq convert, raw to raw" copy.seconds
  [ $compares = no ] || speed "zstd -T2, and sync" zstd.seconds
  speed "rilq hash, compressed" read.seconds
  speed "rilq hash, raw" hash.seconds
  [ $compares = no ] || speed "zstd -d" unzstd.seconds
}

make dense convert "$checkpoint"
make 2-bits-f32-tables quantize "$checkpoint" --tables f32
make 2-bits-f16-tables quantize "$checkpoint" --tables f16
echo "bytes and speeds are those of the raw file, median of $runs runs"
for name in dense 2-bits-f32-tables 2-bits-f16-tables; do measure $name; done
