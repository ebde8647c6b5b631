#!/usr/bin/env bash
# Tests a reader with inputs from libFuzzer: safetensors, container, gguf, json, jsonl, tokenizer,
# sentencepiece, adapter, integer, importance, recipe, log, journal or plan.
# Fails on a crash, on more than one second of wall time for an input (on an idle machine), and on more
# than 256 MB of memory. The input is kept in .build-fuzz/found/TARGET. Inputs that reach new code are kept in
# .build-fuzz/corpus/TARGET; with --keep, the smallest set of inputs that reaches the same code replaces
# Fixtures/fuzz/TARGET. RILQ_FUZZ_TIMEOUT sets the seconds per input on a busy machine.
# usage: Scripts/fuzz.sh TARGET SECONDS [--keep]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -ge 2 ] || { sed -n '2,8s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64; }
target=$1 seconds=$2 keep=${3-}
kept=Fixtures/fuzz/$target corpus=.build-fuzz/corpus/$target found=.build-fuzz/found/$target
limits=(-rss_limit_mb=256 "-timeout=${RILQ_FUZZ_TIMEOUT:-1}" -max_len=65536)
words=Fuzz/words.dict

# Seeds: the stored corpus, and the files that readers must reject or accept.
case $target in
  safetensors) seeds=(Fixtures/invalid/safetensors Fixtures/valid-oddities/safetensors) ;;
  container) seeds=(Fixtures/invalid/container Fixtures/valid-oddities/container) ;;
  gguf) seeds=(Fixtures/invalid/gguf Fixtures/valid-oddities/gguf) ;;
  json) seeds=(Fixtures/invalid/base Fixtures/invalid/config Fixtures/invalid/adapter Fixtures/invalid/index) ;;
  jsonl) seeds=(Fixtures/invalid/base Fixtures/invalid/config) ;;
  tokenizer) seeds=(Fixtures/invalid/base Fixtures/invalid/tokenizer) ;;
  sentencepiece) seeds=(Fixtures/sentencepiece) ;;
  recipe) seeds=(Fixtures/invalid/recipe Recipes) ;;
  plan) seeds=(Fixtures/invalid/config) ;;
  adapter | integer | importance | log | journal) seeds=() ;;
  *) echo "fuzz.sh: there is no target '$target'" >&2; exit 64 ;;
esac

build() {
  RILQ_FUZZ=1 nice -n 19 swift build -c release --product rilq-fuzz --scratch-path .build-fuzz \
    -Xswiftc -sanitize=fuzzer,address -Xlinker -lstdc++
}
build >&2
mkdir -p "$corpus" "$found" "$kept"

# Some readers write files beside an input; they use memory where possible.
TMPDIR=$(mktemp -d /dev/shm/rilq-fuzz.XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# Leak checks are off, because the Swift runtime keeps caches until the end.
export RILQ_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 SWIFT_BACKTRACE=enable=no
program=.build-fuzz/release/rilq-fuzz
nice -n 19 "$program" "${limits[@]}" -dict=$words -max_total_time="$seconds" -artifact_prefix="$found/" -print_final_stats=1 \
  "$corpus" "$kept" "${seeds[@]}"

if [ "$keep" = --keep ]; then
  smallest=$(mktemp -d .build-fuzz/merge.XXXXXX)
  nice -n 19 "$program" "${limits[@]}" -merge=1 "$smallest" "$corpus" "$kept" "${seeds[@]}" 2>&1 | tail -n 2 >&2
  # At most 120 inputs of every size, and at most 90 kB.
  rm -f "$kept"/*
  find "$smallest" -type f -printf '%s %f\n' | sort -n |
    awk '{ size[NR] = $1; name[NR] = $2 }
      END {
        count = NR < 120 ? NR : 120
        for (i = 1; i <= count; i++) {
          j = int(i * NR / count)
          sum += size[j]
          if (sum <= 90000) print name[j]
        }
      }' |
    while read -r name; do cp "$smallest/$name" "$kept/$name"; done
  rm -r "$smallest"
fi
