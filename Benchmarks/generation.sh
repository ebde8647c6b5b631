#!/usr/bin/env bash
# Tokens per second of a single text and of its prompt, in turns and on two threads: rilq generate from the
# checkpoint and at 2 bits, and llama.cpp from BF16 and Q2_K.
# Q2_K needs rows of a multiple of 256. Without --q2-k its row is a file of the same size with random codes.
# usage: generation.sh CHECKPOINT [--tokens N] [--runs N] [--q2-k FILE.gguf]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

line="generation.sh CHECKPOINT [--tokens N] [--runs N] [--q2-k FILE.gguf]"
[ $# -ge 1 ] || usage "$line"
checkpoint=$1 tokens=100 runs=5 q2_k=
prompt="The history of the city begins with"
# About 512 tokens; what they say does not change the speed.
long_prompt=$(for _ in $(seq 73); do printf '%s ' "$prompt"; done)
shift
while [ $# -gt 1 ]; do
  case $1 in
  --tokens) tokens=$2 ;;
  --runs) runs=$2 ;;
  --q2-k) q2_k=$2 ;;
  *) usage "$line" ;;
  esac
  shift 2
done
[ $# -eq 0 ] || usage "$line"
need "$checkpoint" checkpoint
[ -z "$q2_k" ] || need "$q2_k" "the file in Q2_K"
build_rilq

"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --method hqq --tables f16 --quiet >/dev/null
compares=no
if has_python xllamacpp; then
  compares=yes
  "$rilq" convert "$checkpoint" "$work/dense.gguf" --quiet >/dev/null
else
  echo "skipped: llama.cpp; $python has no xllamacpp"
fi
if [ $compares = yes ] && [ -z "$q2_k" ]; then
  hidden=$(sed -n 's/.*"hidden_size": *\([0-9]*\).*/\1/p' "$checkpoint/config.json" | head -n 1)
  if [ $((${hidden:-1} % 256)) -ne 0 ]; then
    echo "skipped: Q2_K; the hidden size ${hidden:-of $checkpoint} is not a multiple of 256"
  elif ! has_python gguf numpy; then
    echo "skipped: Q2_K; $python has no gguf and numpy"
  else
    q2_k=$work/q2_k.gguf
    "$python" "$benchmarks/generation_q2_k.py" "$work/dense.gguf" "$q2_k"
    echo "Q2_K: random codes in the sizes of the type"
  fi
fi

# measure NAME COMMAND...: runs COMMAND PROMPT TOKENS for the text and for the long prompt.
measure() {
  local name=$1
  shift
  keep "$name" "tokens_per_second peak_memory_bytes" "$@" "$prompt" "$tokens"
  keep "$name" "prompt_tokens_per_second peak_memory_bytes" "$@" "$long_prompt" 1
}

# run_rilq FILE PRODUCTS PROMPT TOKENS
run_rilq() {
  "$rilq" generate "$1" --products "$2" --prompt "$3" --max-tokens "$4" --threads 2 --json --quiet
}

# row LABEL NAME
row() {
  printf '%-20s %6.1f tokens/s  prompt %7.1f tokens/s  %5d MB at most\n' "$1" \
    "$(median <"$work/$2.tokens_per_second")" "$(median <"$work/$2.prompt_tokens_per_second")" \
    "$(megabytes "$(sort -g <"$work/$2.peak_memory_bytes" | tail -n 1)")"
}

for _ in $(seq "$runs"); do
  measure dense run_rilq "$checkpoint" f32
  measure packed_int8 run_rilq "$work/quantized.rilq" int8
  measure packed_f32 run_rilq "$work/quantized.rilq" f32
  [ $compares = no ] || measure llama_dense "$python" "$benchmarks/generation_llama_cpp.py" "$work/dense.gguf"
  [ $compares = no ] || [ -z "$q2_k" ] ||
    measure llama_q2_k "$python" "$benchmarks/generation_llama_cpp.py" "$q2_k"
done
echo "up to $tokens tokens greedily, then a prompt of about 512 tokens; median of $runs runs"
row "rilq" dense
row "rilq, 2 bits, int8" packed_int8
row "rilq, 2 bits, f32" packed_f32
[ $compares = no ] || row "llama.cpp, BF16" llama_dense
[ $compares = no ] || [ -z "$q2_k" ] || row "llama.cpp, Q2_K" llama_q2_k
[ $compares = no ] || value instructions "$work/result.json"
echo "rilq at 2 bits: a file of $(megabytes "$(stat -c %s "$work/quantized.rilq")") MB"
