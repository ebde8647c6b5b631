#!/usr/bin/env bash
# Tries a reader with inputs that libFuzzer makes up: safetensors, container, gguf, json or tokenizer.
# Fails on a crash, on an input that takes more than a second, and on more than 256 MB of memory; the input is kept in
# .build-fuzz/found/TARGET. Inputs that reach new code are kept in .build-fuzz/corpus/TARGET; with --keep the smallest set
# that reaches the same code replaces Fixtures/fuzz/TARGET.
# usage: Scripts/fuzz.sh TARGET SECONDS [--keep]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 64; }
target=$1 seconds=$2 keep=${3-}
kept=Fixtures/fuzz/$target corpus=.build-fuzz/corpus/$target found=.build-fuzz/found/$target
limits=(-rss_limit_mb=256 -timeout=1 -max_len=65536)

build() {
  RILQ_FUZZ=1 nice -n 19 swift build -c release --product rilq-fuzz --scratch-path .build-fuzz \
    -Xswiftc -sanitize=fuzzer,address -Xlinker -lstdc++
}
build >&2
mkdir -p "$corpus" "$found" "$kept"

# Seeds: the corpus that is kept, and the files that readers must refuse or accept.
case $target in
  safetensors) seeds=(Fixtures/invalid/safetensors Fixtures/valid-oddities/safetensors) ;;
  container) seeds=(Fixtures/invalid/container Fixtures/valid-oddities/container) ;;
  gguf) seeds=(Fixtures/invalid/gguf Fixtures/valid-oddities/gguf) ;;
  json) seeds=(Fixtures/invalid/base Fixtures/invalid/config Fixtures/invalid/adapter Fixtures/invalid/index) ;;
  tokenizer) seeds=(Fixtures/invalid/base Fixtures/invalid/tokenizer) ;;
  *) echo "fuzz.sh: there is no target '$target'" >&2; exit 64 ;;
esac

# Leaks are not looked for: the runtime keeps caches for good. Freed memory is given back at once, to be measured.
export RILQ_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=0
program=.build-fuzz/release/rilq-fuzz
nice -n 19 "$program" "${limits[@]}" -max_total_time="$seconds" -artifact_prefix="$found/" -print_final_stats=1 \
  "$corpus" "$kept" "${seeds[@]}"

if [ "$keep" = --keep ]; then
  smallest=$(mktemp -d .build-fuzz/merge.XXXXXX)
  nice -n 19 "$program" "${limits[@]}" -merge=1 "$smallest" "$corpus" "$kept" "${seeds[@]}" 2>&1 | tail -n 2 >&2
  # The smallest ones first, and no more than 120 files or 120 kB.
  rm -f "$kept"/*
  find "$smallest" -type f -printf '%s %f\n' | sort -n | awk '{ sum += $1 } NR <= 120 && sum <= 120000 { print $2 }' |
    while read -r name; do cp "$smallest/$name" "$kept/$name"; done
  rm -r "$smallest"
fi
