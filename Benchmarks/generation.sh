#!/usr/bin/env bash
# Tokens per second of a single text, in turns: rilq generate from the checkpoint and at 2 bits, and llama.cpp
# from BF16 and Q2_0.
# usage: generation.sh CHECKPOINT [--tokens N] [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 1 ] || usage "generation.sh CHECKPOINT [--tokens N] [--runs N]"
checkpoint=$1 tokens=100 runs=5 prompt="The history of the city begins with"
shift
while [ $# -gt 1 ]; do
  case $1 in
  --tokens) tokens=$2 ;;
  --runs) runs=$2 ;;
  *) usage "generation.sh CHECKPOINT [--tokens N] [--runs N]" ;;
  esac
  shift 2
done
need "$checkpoint" checkpoint
build_rilq

"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --method hqq --tables f16 --quiet >/dev/null
compares=no
if has_python llama_cpp numpy; then compares=yes; else echo "$python has no llama_cpp and numpy: rilq alone"; fi
if [ $compares = yes ]; then
  "$rilq" convert "$checkpoint" "$work/dense.gguf" --quiet >/dev/null
  "$python" "$benchmarks/two_bit_peers.py" llama-cpp "$work/dense.gguf" "$work/q2_0.gguf" "$checkpoint" \
    >"$work/errors" 2>&1 || { cat "$work/errors" >&2; exit 1; }
fi

measured="tokens_per_second peak_memory_bytes"

run_rilq() {
  keep "$1" "$measured" "$rilq" generate "$2" --prompt "$prompt" --max-tokens "$tokens" --json --quiet
}

run_llama_cpp() {
  keep "$1" "$measured" "$python" "$benchmarks/generation_llama_cpp.py" "$2" "$prompt" "$tokens"
}

row() {
  printf '%-16s %6.1f tokens/s  %5d MB at most\n' "$1" "$(median <"$work/$2.tokens_per_second")" \
    "$(megabytes "$(median <"$work/$2.peak_memory_bytes")")"
}

for _ in $(seq "$runs"); do
  run_rilq dense "$checkpoint"
  run_rilq packed "$work/quantized.rilq"
  [ $compares = no ] || run_llama_cpp llama_dense "$work/dense.gguf"
  [ $compares = no ] || run_llama_cpp llama_packed "$work/q2_0.gguf"
done
echo "up to $tokens tokens greedily, median of $runs runs"
row "rilq" dense
row "rilq, 2 bits" packed
[ $compares = no ] || row "llama.cpp, BF16" llama_dense
[ $compares = no ] || row "llama.cpp, Q2_0" llama_packed
