#!/usr/bin/env bash
# Tokens per second of a single text and of its prompt, in turns and on two threads: rilq generate from the
# checkpoint and at 2 bits, and llama.cpp from BF16, from its own Q2_K, and from given files.
# LIBRARY is llama.cpp's quantizer, see llama_quantize.py; without it there is no Q2_K of llama.cpp's. Its rows need
# a multiple of 256 columns.
# usage: generation.sh CHECKPOINT [--tokens N] [--runs N] [--quantizer LIBRARY] [--file FILE.gguf …]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

line="generation.sh CHECKPOINT [--tokens N] [--runs N] [--quantizer LIBRARY] [--file FILE.gguf …]"
[ $# -ge 1 ] || usage "$line"
checkpoint=$1 tokens=100 runs=5 quantizer= files=()
prompt="The history of the city begins with"
# About 512 tokens; what they say does not change the speed.
long_prompt=$(for _ in $(seq 73); do printf '%s ' "$prompt"; done)
shift
while [ $# -gt 1 ]; do
  case $1 in
  --tokens) tokens=$2 ;;
  --runs) runs=$2 ;;
  --quantizer) quantizer=$2 ;;
  --file) files+=("$2") ;;
  *) usage "$line" ;;
  esac
  shift 2
done
[ $# -eq 0 ] || usage "$line"
need "$checkpoint" checkpoint
for file in ${quantizer:+"$quantizer"} "${files[@]}"; do need "$file" file; done
build_rilq

"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --method hqq --tables f16 --quiet >/dev/null
compares=no
if has_python xllamacpp; then
  compares=yes
  "$rilq" convert "$checkpoint" "$work/dense.gguf" --quiet >/dev/null
else
  echo "skipped: llama.cpp; $python has no xllamacpp"
fi
if [ $compares = yes ] && [ -n "$quantizer" ]; then
  "$python" "$benchmarks/llama_quantize.py" "$quantizer" "$work/dense.gguf" "$work/Q2_K.gguf" Q2_K 2>"$work/errors" ||
    { tail -n 1 "$work/errors" >&2; exit 1; }
  files=("$work/Q2_K.gguf" "${files[@]}")
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
  printf '%-24s %6.1f tokens/s  prompt %7.1f tokens/s  %5d MB at most\n' "$1" \
    "$(median <"$work/$2.tokens_per_second")" "$(median <"$work/$2.prompt_tokens_per_second")" \
    "$(megabytes "$(sort -g <"$work/$2.peak_memory_bytes" | tail -n 1)")"
}

for _ in $(seq "$runs"); do
  measure dense run_rilq "$checkpoint" f32
  measure packed_int8 run_rilq "$work/quantized.rilq" int8
  measure packed_f32 run_rilq "$work/quantized.rilq" f32
  [ $compares = no ] || measure llama_dense "$python" "$benchmarks/generation_llama_cpp.py" "$work/dense.gguf"
  for file in "${files[@]}"; do
    [ $compares = no ] || measure "$(basename "$file")" "$python" "$benchmarks/generation_llama_cpp.py" "$file"
  done
done
echo "up to $tokens tokens greedily, then a prompt of about 512 tokens; median of $runs runs"
row "rilq" dense
row "rilq, 2 bits, int8" packed_int8
row "rilq, 2 bits, f32" packed_f32
[ $compares = no ] || row "llama.cpp, BF16" llama_dense
for file in "${files[@]}"; do
  [ $compares = no ] || row "llama.cpp, $(basename "$file")" "$(basename "$file")"
done
[ $compares = no ] || value instructions "$work/result.json"
echo "rilq at 2 bits: a file of $(megabytes "$(stat -c %s "$work/quantized.rilq")") MB"
