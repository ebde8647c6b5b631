#!/usr/bin/env bash
# Memory and speed of `rilq quantize`, rtn w2g64, on a large checkpoint, compared with reading the same files,
# with a cold page cache if the user is root. Peak memory includes mapped pages. If a control group can be
# created, everything runs again with a limit that also counts the page cache.
# usage: large.sh FOLDER [GIGABYTES]
# FOLDER gets `checkpoint` (kept, created only if missing) and the output (removed).
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ $# -lt 1 ] || [ $# -gt 2 ]; then usage "large.sh FOLDER [GIGABYTES]"; fi
folder=$1 gigabytes=${2:-16}
limit=1500000000
has_python json || skip "python3 is not there"
build_rilq
mkdir -p "$folder"
checkpoint=$folder/checkpoint output=$folder/quantized.rilq
if [ ! -e "$checkpoint/config.json" ]; then
  rm -rf "$checkpoint"
  "$python" "$benchmarks/large_checkpoint.py" "$checkpoint" "$gigabytes"
fi
shards=("$checkpoint"/*.safetensors)
bytes=$(cat "${shards[@]}" | wc -c)
echo "$(megabytes "$bytes") MB of input in ${#shards[@]} files, $(nproc) cores"

# Empties the page cache, or prints that it cannot.
cache=warm
cold() {
  sync
  if { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null; then cache=cold; fi
}

# row NAME SECONDS [PEAK]
row() {
  printf '%-44s %8.2f s  %6.0f MB/s%s\n' "$1" "$2" "$(awk "BEGIN {print $bytes / $2 / 1e6}")" \
    "${3:+  $(megabytes "$3") MB peak}"
}

read_files() { cat "${shards[@]}"; }

# measure NAME COMMAND...: runs a command that prints the JSON of rilq.
measure() {
  local name=$1 start end
  shift
  rm -f "$output"
  cold
  start=$(date +%s%N)
  "$@" >"$work/report" || { echo "failed: $*" >&2; return 1; }
  end=$(date +%s%N)
  row "$name, $cache cache" "$(awk "BEGIN {print ($end - $start) / 1e9}")" "$(value peak_memory_bytes "$work/report")"
}

# Runs a command in its own control group; `limit` bytes bound its memory and its part of the page cache.
limited() {
  local group
  if [ -w /sys/fs/cgroup/cgroup.procs ]; then
    group=/sys/fs/cgroup/rilq-large
    mkdir -p "$group" && echo "$limit" >"$group/memory.max" || return 1
  else
    group=/sys/fs/cgroup/memory/rilq-large
    mkdir -p "$group" && echo "$limit" >"$group/memory.limit_in_bytes" || return 1
  fi
  (echo "$BASHPID" >"$group/cgroup.procs" && exec "$@")
}

quantize=("$rilq" quantize "$checkpoint" "$output" --quiet --json)
cold
row "cat to /dev/null, $cache cache" "$(seconds read_files)"
measure "rilq quantize" "${quantize[@]}"
measure "rilq quantize --no-mmap" "${quantize[@]}" --no-mmap
measure "rilq quantize --compression none" "${quantize[@]}" --compression none
if limited true 2>/dev/null; then
  measure "rilq quantize within $(megabytes $limit) MB" limited "${quantize[@]}"
  measure "rilq quantize --no-mmap within $(megabytes $limit) MB" limited "${quantize[@]}" --no-mmap
  rmdir /sys/fs/cgroup/rilq-large /sys/fs/cgroup/memory/rilq-large 2>/dev/null || true
else
  echo "a limit needs a control group that can be made here: skipped"
fi
rm -f "$output"
