#!/usr/bin/env bash
# Perplexity and its speed for a checkpoint and after rtn w2g64: rilq eval and perplexity_torch.py in turns.
# usage: perplexity.sh CHECKPOINT TEXT [--max-tokens N] [--runs N]
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 2 ] || usage "perplexity.sh CHECKPOINT TEXT [--max-tokens N] [--runs N]"
checkpoint=$1 text=$2 max_tokens=16384 runs=3
shift 2
while [ $# -gt 1 ]; do
  case $1 in
  --max-tokens) max_tokens=$2 ;;
  --runs) runs=$2 ;;
  *) usage "perplexity.sh CHECKPOINT TEXT [--max-tokens N] [--runs N]" ;;
  esac
  shift 2
done
need "$checkpoint" checkpoint
need "$text" text
build_rilq

"$rilq" quantize "$checkpoint" "$work/quantized.rilq" --bits 2 --group-size 64 --quiet >/dev/null

measured="perplexity tokens_per_second peak_memory_bytes"

run_rilq() {
  keep "$1" "$measured" "$rilq" eval "$2" --text "$text" --window 512 --max-tokens "$max_tokens" --json --quiet
}

run_torch() {
  local name=$1
  shift
  keep "$name" "$measured" "$@" "$python" "$benchmarks/perplexity_torch.py" "$checkpoint" "$text" --window 512 --max-tokens "$max_tokens"
}

row() {
  printf '%-26s perplexity %12.3f  %7.0f tokens/s  %5d MB at most\n' "$1" "$(median <"$work/$2.perplexity")" \
    "$(median <"$work/$2.tokens_per_second")" "$(megabytes "$(median <"$work/$2.peak_memory_bytes")")"
}

compares=no
if has_python torch transformers; then compares=yes; else echo "$python has no torch and transformers: rilq alone"; fi
for _ in $(seq "$runs"); do
  run_rilq dense "$checkpoint"
  run_rilq packed "$work/quantized.rilq"
  [ $compares = no ] || run_torch torch env
done
[ $compares = no ] || run_torch torch_rounded env RTN=w2g64
echo "first $max_tokens tokens, windows of 512, median of $runs runs"
row "rilq" dense
[ $compares = no ] || row "PyTorch fp32" torch
row "rilq, 2 bits" packed
[ $compares = no ] || row "PyTorch fp32, rounded" torch_rounded
